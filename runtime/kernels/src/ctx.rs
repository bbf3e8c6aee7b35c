//! What a kernel runs on: an instruction set and a way to run tasks side by side, both handed in.
//!
//! A kernel cuts its *outputs* into tasks, never a reduction, so that the split cannot be seen in the results. A
//! [`Task`] knows which worker runs it: working memory is one slice per worker.

use core::marker::PhantomData;
use core::ops::Range;

use sanderling_simd::Best;

/// One piece of a kernel's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which piece, below the number of tasks.
    pub index: usize,
    /// Who runs it, below [`Parallel::threads`]; no two tasks of one worker run at the same time.
    pub worker: usize,
}

/// Runs tasks, possibly side by side.
///
/// # Safety
/// Kernels hand out disjoint memory by task and by worker. An implementation calls the function exactly once for each
/// index below `tasks`, never with the same worker at the same time, with workers below [`Self::threads`] (which
/// never changes), and returns only when all calls have.
pub unsafe trait Parallel: Sync {
    /// How many tasks can run at the same time, at least 1.
    fn threads(&self) -> usize;
    /// Runs `f` for each task.
    fn run(&self, tasks: usize, f: &(dyn Fn(Task) + Sync));
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

// SAFETY: one loop, one worker, each index once.
unsafe impl Parallel for Inline {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(Task) + Sync)) {
        for index in 0..tasks {
            f(Task { index, worker: 0 });
        }
    }
}

/// Instruction set and threads of a call.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The instructions to use.
    pub isa: Best,
    /// The threads to use.
    pub par: &'a dyn Parallel,
}

impl core::fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ctx")
            .field("isa", &self.isa)
            .field("threads", &self.threads())
            .finish()
    }
}

impl<'a> Ctx<'a> {
    /// On this thread alone.
    pub fn inline(isa: Best) -> Ctx<'static> {
        Ctx { isa, par: &Inline }
    }

    /// On the threads of `par`.
    pub fn new(isa: Best, par: &'a dyn Parallel) -> Self {
        Ctx { isa, par }
    }

    /// How many tasks can run at the same time.
    pub fn threads(&self) -> usize {
        self.par.threads().max(1)
    }

    /// Cuts `0..len` into ranges of at least `grain` (a multiple of it, but for the last) and runs `f` on each.
    pub(crate) fn ranges(&self, len: usize, grain: usize, f: &(dyn Fn(Range<usize>, Task) + Sync)) {
        if len == 0 {
            return;
        }
        let threads = self.threads();
        let grains = len.div_ceil(grain.max(1));
        // A few tasks a thread even out cores of different speed.
        let tasks = if threads == 1 { 1 } else { grains.min(threads * 4) };
        let step = grains.div_ceil(tasks) * grain.max(1);
        let tasks = len.div_ceil(step);
        if tasks == 1 {
            return f(0..len, Task { index: 0, worker: 0 });
        }
        self.par.run(tasks, &|task| {
            let start = task.index * step;
            f(start..(start + step).min(len), task);
        });
    }
}

/// A mutable slice whose parts are handed to tasks.
pub(crate) struct Parts<'a, T> {
    ptr: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice; `part`'s contract keeps what threads get from it disjoint.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Over the whole slice.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Parts {
            ptr: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// Where the slice starts.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.ptr
    }

    /// One part of it.
    ///
    /// # Safety
    /// No other part that overlaps with `range` is alive.
    #[allow(clippy::mut_from_ref, reason = "the contract keeps parts disjoint")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice by the assertion, disjoint from others by the contract.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }
}
