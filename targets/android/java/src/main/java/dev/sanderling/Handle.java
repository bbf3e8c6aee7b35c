package dev.sanderling;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.LongConsumer;

/**
 * A pointer to something native. Calls hold it; closing waits for them, and turns it to 0, which native methods refuse. What
 * its owner forgets to close is freed when the next handle is made after the garbage collector found it (java.lang.ref.Cleaner
 * would do it sooner, and needs Android 13).
 */
final class Handle {
    interface Call<T> {
        T on(long pointer);
    }

    private static final ReferenceQueue<Object> FORGOTTEN = new ReferenceQueue<>();
    private static final Set<Net> NETS = Collections.synchronizedSet(new HashSet<>());

    private static final class Net extends PhantomReference<Object> {
        private final Handle handle;

        Net(Object owner, Handle handle) {
            super(owner, FORGOTTEN);
            this.handle = handle;
        }
    }

    private final ReadWriteLock lock = new ReentrantReadWriteLock();
    private final LongConsumer free;
    private long pointer;
    private Net net;

    Handle(long pointer, LongConsumer free) {
        this.pointer = pointer;
        this.free = free;
    }

    /** Frees it when nobody has its owner any more. */
    void catchFor(Object owner) {
        for (Object forgotten = FORGOTTEN.poll(); forgotten != null; forgotten = FORGOTTEN.poll()) {
            ((Net) forgotten).handle.close();
        }
        net = new Net(owner, this);
        NETS.add(net);
    }

    static int held() {
        return NETS.size();
    }

    <T> T use(Call<T> call) {
        lock.readLock().lock();
        try {
            return call.on(pointer);
        } finally {
            lock.readLock().unlock();
        }
    }

    boolean isClosed() {
        return use(pointer -> pointer == 0);
    }

    void close() {
        lock.writeLock().lock();
        try {
            long last = pointer;
            pointer = 0;
            free.accept(last);
            NETS.remove(net);
        } finally {
            lock.writeLock().unlock();
        }
    }
}
