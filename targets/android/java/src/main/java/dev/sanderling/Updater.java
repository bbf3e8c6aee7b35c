package dev.sanderling;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Keeps an app's model up to date: it enrols the device, checks in, fetches what the fleet's owner signed, tests it, flips to
 * it and falls back by itself. It has no threads, timers or network of its own: {@link #work} does a stretch of all that when
 * the app's scheduler says so, as a WorkManager job does. {@link #answer} answers meanwhile, from the newest intact image, or
 * from the bundle that came with the app.
 *
 * <p>The state folder holds the device's key and the images. It must not go into backups: a restored copy would be a second
 * device with the same key. On Android pass a folder in `Context.getNoBackupFilesDir()`, which backups and device
 * transfers leave out; the library's data extraction rules leave out `files/sanderling` besides.
 *
 * <p>One updater for a folder, in one process: a second one is refused. `work` is for one thread at a time; all else may be called
 * from any thread, and {@link #rest} and {@link #checkIn} from the main one: they do not wait for a job that is under way, which does
 * what they ask for.
 */
public final class Updater implements AutoCloseable {
    private static final int BLOCK = 16 * 1024;
    private static final long SLICE_MS = 200;
    private static final int UNREACHABLE = 0;
    private static final int TIMED_OUT = 1;
    private static final int BROKEN = 2;
    private final Handle handle;

    private Updater(Options options) {
        handle =
                new Handle(
                        Native.updaterOpen(
                                options.state,
                                options.enrolment,
                                options.hardware,
                                options.factory,
                                options.threads,
                                options.memoryLimit,
                                options.dailyBudget,
                                options.trialSeconds),
                        Native::updaterFree);
        handle.catchFor(this);
    }

    /** How an updater is set up. */
    public static final class Options {
        private final String state;
        private final String hardware;
        private String enrolment;
        private String factory;
        private int threads = 1;
        private long memoryLimit;
        private long dailyBudget;
        private int trialSeconds;

        /**
         * The state folder (see {@link Updater}; made if need be), and the kind of hardware as the fleet's owner names it: lower-case
         * letters, digits, '-' and '_'.
         */
        public Options(String state, String hardware) {
            this.state = state;
            this.hardware = hardware;
        }

        /** The enrolment string of `sanderling device enrol`; needless once the folder belongs to a fleet. */
        public Options enrolment(String enrolment) {
            this.enrolment = enrolment;
            return this;
        }

        /** File of the bundle that came with the app: it answers where no slot holds an intact image. It is only read. */
        public Options factory(String bundle) {
            this.factory = bundle;
            return this;
        }

        /** Threads to compute with. */
        public Options threads(int threads) {
            this.threads = threads;
            return this;
        }

        /** Most bytes of intermediates and packed weights of a model; 0 is 4 GiB. */
        public Options memoryLimit(long bytes) {
            this.memoryLimit = bytes;
            return this;
        }

        /** Most bytes of images fetched in a day; 0 is 2 GiB. */
        public Options dailyBudget(long bytes) {
            this.dailyBudget = bytes;
            return this;
        }

        /** Least seconds that a new image is on trial; 0 is 30. */
        public Options trialSeconds(int seconds) {
            this.trialSeconds = seconds;
            return this;
        }
    }

    /** Opens the state folder, and loads the image that answers. Reads and hashes it whole: not on the main thread. */
    public static Updater open(Options options) {
        if (options == null) {
            throw new SanderlingException.Argument("the options are null");
        }
        return new Updater(options);
    }

    /** Answers a file's bytes (a direct buffer) from the image that serves, with the five best labels; counted for the fleet. */
    public Answer answer(ByteBuffer file) {
        ByteBuffer bytes = Session.slice(file);
        Sinks.Answered answered = new Sinks.Answered();
        return handle.use(
                p -> {
                    Native.updaterAnswer(p, bytes, 5, answered);
                    return answered.answer();
                });
    }

    /** {@link #answer} on an executor's thread. */
    public CompletableFuture<Answer> answerAsync(ByteBuffer file, Executor executor) {
        return CompletableFuture.supplyAsync(() -> answer(file), executor);
    }

    /**
     * The image that serves, for what {@link #answer} does not do. It stays that image, whatever serves later, until it is closed;
     * what is run on it is not counted.
     */
    public Session session() {
        return new Session(handle.use(Native::updaterSession));
    }

    /**
     * {@link #work(Transport, long, BooleanSupplier)} that nothing but its time and an interrupt ends.
     */
    public long work(Transport transport, long patienceMillis) {
        return work(transport, patienceMillis, () -> false);
    }

    /**
     * Does what is to be done for up to so many milliseconds: check in, fetch, test, flip. Gives the milliseconds after which there
     * is more to do (0: at once): what a scheduler's next job should wait. It ends early when `stopped`, which is asked several
     * times a second and between the blocks of a download, says so (a Worker's `this::isStopped`), and at an interrupt. A download
     * goes on where it stopped.
     */
    public long work(Transport transport, long patienceMillis, BooleanSupplier stopped) {
        if (transport == null || stopped == null) {
            throw new SanderlingException.Argument("the transport, or what says that the job was stopped, is null");
        }
        long wait;
        try {
            wait = stretch(transport, Math.max(patienceMillis, 0), stopped);
        } catch (RuntimeException | Error failure) {
            try {
                rest();
            } catch (SanderlingException also) {
                failure.addSuppressed(also);
            }
            throw failure;
        }
        rest();
        return wait;
    }

    private long stretch(Transport transport, long patienceMillis, BooleanSupplier stopped) {
        long start = System.nanoTime();
        long patience = TimeUnit.MILLISECONDS.toNanos(patienceMillis);
        try {
            while (true) {
                Sinks.Requested requested = new Sinks.Requested();
                long wait = handle.use(p -> Native.updaterStep(p, requested));
                if (wait < 0) {
                    carry(transport, requested.request(), stopped);
                } else if (TimeUnit.MILLISECONDS.toNanos(wait) >= patience - (System.nanoTime() - start)) {
                    return wait;
                } else {
                    sleep(wait, stopped);
                }
                if (System.nanoTime() - start >= patience
                        || stopped.getAsBoolean()
                        || Thread.currentThread().isInterrupted()) {
                    return handle.use(Native::updaterWait);
                }
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
            return handle.use(Native::updaterWait);
        }
    }

    private static void sleep(long millis, BooleanSupplier stopped) throws InterruptedException {
        for (long left = millis; left > 0 && !stopped.getAsBoolean(); left -= SLICE_MS) {
            Thread.sleep(Math.min(left, SLICE_MS));
        }
    }

    /** Checks in at the next {@link #work}: a push message came, or the user asked. */
    public void checkIn() {
        handle.use(
                p -> {
                    Native.updaterCheckIn(p);
                    return null;
                });
    }

    /**
     * Puts what was counted on the disk, and takes this start of the app for a good one. {@link #work} and {@link #close} do it; call
     * it where the system may end the app, as in `onStop`: starts that end without it count as crashes of an image on trial. Where a job
     * is under way, that one does it, and the log says where the disk took nothing.
     */
    public void rest() {
        handle.use(
                p -> {
                    Native.updaterRest(p);
                    return null;
                });
    }

    /** What the updater says of itself. */
    public UpdaterState state() {
        Sinks.Pairs pairs = new Sinks.Pairs();
        return handle.use(
                p -> {
                    Native.updaterState(p, pairs);
                    return new UpdaterState(pairs.values);
                });
    }

    /** The next line of the updater's log, oldest first; null where there is none. The newest 256 are kept. */
    public String logLine() {
        return handle.use(Native::updaterLine);
    }

    /** Whether it was closed. */
    public boolean isClosed() {
        return handle.isClosed();
    }

    @Override
    public void close() {
        handle.close();
    }

    private void carry(Transport transport, Transport.Request request, BooleanSupplier stopped) {
        long start = System.nanoTime();
        long patience = TimeUnit.SECONDS.toNanos(request.timeoutSeconds());
        try (Transport.Response response = transport.send(request)) {
            if (!respond(request, response)) {
                return;
            }
            byte[] block = new byte[BLOCK];
            InputStream body = response.body();
            long received = 0;
            for (int count = body.read(block); count >= 0; count = body.read(block)) {
                int length = count;
                received += count;
                if (!handle.use(p -> Native.updaterBody(p, request.id, block, length))) {
                    return;
                }
                if (received > request.maxBody()) {
                    throw new IOException("the answer is longer than the " + request.maxBody() + " bytes asked for");
                }
                if (System.nanoTime() - start > patience) {
                    throw new SocketTimeoutException("the answer took longer than " + request.timeoutSeconds() + " s");
                }
                if (stopped.getAsBoolean() || Thread.currentThread().isInterrupted()) {
                    throw new InterruptedIOException("the job was stopped");
                }
            }
            handle.use(
                    p -> {
                        Native.updaterEnd(p, request.id);
                        return null;
                    });
        } catch (SocketTimeoutException error) {
            failed(request, TIMED_OUT, error);
        } catch (ConnectException | UnknownHostException | NoRouteToHostException error) {
            failed(request, UNREACHABLE, error);
        } catch (IOException error) {
            failed(request, BROKEN, error);
        } catch (SanderlingException error) {
            // Told as what it is, not as an answer that took too long.
            try {
                failed(request, BROKEN, error);
            } catch (SanderlingException also) {
                error.addSuppressed(also);
            }
            throw error;
        } catch (RuntimeException error) {
            // A transport that throws what it should not has not answered.
            failed(request, BROKEN, error);
        }
    }

    private boolean respond(Transport.Request request, Transport.Response response) {
        String[] names = {"content-range", "retry-after", "decommissioned-at"};
        String[] headers = new String[2 * names.length];
        int count = 0;
        for (String name : names) {
            String value = response.header(name);
            if (value != null) {
                headers[count++] = name;
                headers[count++] = value;
            }
        }
        String[] told = java.util.Arrays.copyOf(headers, count);
        return handle.use(p -> Native.updaterRespond(p, request.id, response.status(), told));
    }

    private void failed(Transport.Request request, int cause, Exception error) {
        handle.use(
                p -> {
                    Native.updaterFailed(p, request.id, cause, String.valueOf(error.getMessage()));
                    return null;
                });
    }
}
