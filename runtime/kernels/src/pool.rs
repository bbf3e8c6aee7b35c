//! A pool of worker threads, a value like any other.
//!
//! The caller of [`Parallel::run`] is worker 0; the others sleep on a condition variable until a job is posted. A job
//! is a pointer to the caller's closure and a counter from which workers take task numbers. Workers join a job under
//! the lock; `run` withdraws the job and waits for those who joined, so the closure may borrow from the caller, and a
//! worker that wakes too late delays nobody. Nothing is allocated after `new`.
//!
//! Workers look for the next job for a few microseconds before they sleep: kernels follow each other closely, and a
//! wake-up costs more than a small kernel. One job runs at a time; a second caller waits, and a call from inside a
//! task runs on the calling thread, so nesting cannot deadlock.

use std::boxed::Box;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::vec::Vec;

use crate::ctx::{Parallel, Task};

/// Turns of looking before a worker sleeps: a few microseconds.
const SPINS: u32 = 2_000;

std::thread_local! {
    /// Whether this thread is inside a task of some pool.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A closure of the caller of `run`, with its lifetime taken away.
#[derive(Clone, Copy)]
struct Job {
    f: *const (dyn Fn(Task) + Sync),
    tasks: usize,
}

// SAFETY: the closure is Sync, and `run` keeps it alive until no worker holds the job.
unsafe impl Send for Job {}

/// What workers wait for.
struct State {
    job: Option<Job>,
    /// Workers that have joined the job and not left it.
    active: usize,
    panicked: bool,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    posted: Condvar,
    done: Condvar,
    /// Counts jobs; workers look at it without the lock.
    epoch: AtomicUsize,
    next: AtomicUsize,
    /// Mirrors `State::active`, to look at without the lock.
    active: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks until there are none; an error is a task's panic.
    fn work(&self, job: Job, worker: usize) -> std::thread::Result<()> {
        let was_inside = INSIDE.replace(true);
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= job.tasks {
                    break;
                }
                // SAFETY: `run` waits for every worker before its closure goes away.
                unsafe { (*job.f)(Task { index, worker }) };
            }
        }));
        INSIDE.set(was_inside);
        result
    }
}

/// Worker threads that live as long as the pool.
pub struct ThreadPool {
    shared: Arc<Shared>,
    /// One job at a time.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

impl core::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ThreadPool")
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

impl ThreadPool {
    /// A pool that runs `threads` tasks at a time, the caller's thread included. If the system refuses to start
    /// some of the threads, the pool is smaller; with one thread everything runs on the caller's.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                job: None,
                active: 0,
                panicked: false,
                stop: false,
            }),
            posted: Condvar::new(),
            done: Condvar::new(),
            epoch: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
        });
        let mut workers = Vec::new();
        for worker in 1..threads {
            let shared = Arc::clone(&shared);
            let body: Box<dyn FnOnce() + Send> = Box::new(move || serve(&shared, worker));
            match std::thread::Builder::new()
                .name(std::format!("kernels-{worker}"))
                .spawn(body)
            {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
        }
        ThreadPool {
            shared,
            turn: Mutex::new(()),
            workers,
        }
    }
}

/// A worker's life: wait for a new epoch, work, say so.
fn serve(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        for _ in 0..SPINS {
            if shared.epoch.load(Ordering::Acquire) != seen {
                break;
            }
            std::hint::spin_loop();
        }
        let job = {
            let mut state = shared.lock();
            while shared.epoch.load(Ordering::Acquire) == seen && !state.stop {
                state = shared.posted.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = shared.epoch.load(Ordering::Acquire);
            let Some(job) = state.job else { continue };
            state.active += 1;
            shared.active.store(state.active, Ordering::Relaxed);
            job
        };
        let result = shared.work(job, worker);
        let mut state = shared.lock();
        state.panicked |= result.is_err();
        state.active -= 1;
        shared.active.store(state.active, Ordering::Release);
        if state.active == 0 {
            shared.done.notify_one();
        }
    }
}

// SAFETY: `next` gives out each index once; worker 0 is the caller, the others are numbered at their start, and each
// is one thread; `run` returns after all have left the job.
unsafe impl Parallel for ThreadPool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(Task) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 || INSIDE.get() {
            (0..tasks).for_each(|index| f(Task { index, worker: 0 }));
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes; this function outlives every use of the pointer (it waits below).
        let f: *const (dyn Fn(Task) + Sync) =
            unsafe { core::mem::transmute::<&(dyn Fn(Task) + Sync), &'static (dyn Fn(Task) + Sync)>(f) };
        let job = Job { f, tasks };
        let shared = &*self.shared;
        {
            let mut state = shared.lock();
            shared.next.store(0, Ordering::Relaxed);
            state.job = Some(job);
            state.panicked = false;
            shared.epoch.fetch_add(1, Ordering::Release);
        }
        shared.posted.notify_all();
        let mine = shared.work(job, 0);
        shared.lock().job = None;
        for _ in 0..SPINS {
            if shared.active.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        let mut state = shared.lock();
        while state.active > 0 {
            state = shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panicked = state.panicked;
        drop(state);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!panicked, "a task panicked on a worker thread");
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.posted.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_runs_once_and_each_worker_one_at_a_time() {
        for threads in [1, 2, 5] {
            let pool = ThreadPool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 7, 200] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                let busy: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task| {
                    assert_eq!(busy[task.worker].fetch_add(1, Ordering::SeqCst), 0);
                    counts[task.index].fetch_add(1, Ordering::SeqCst);
                    busy[task.worker].fetch_sub(1, Ordering::SeqCst);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::SeqCst) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = ThreadPool::new(3);
        for _ in 0..20 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(9, &|task| assert_ne!(task.index, 4))
            }));
            assert!(caught.is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.run(10, &|task| {
            sum.fetch_add(task.index, Ordering::SeqCst);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn many_callers_share_a_pool() {
        let pool = ThreadPool::new(2);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(3, &|_| {
                            sum.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 200 * 3);
    }
}
