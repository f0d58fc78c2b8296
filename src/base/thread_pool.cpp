#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/thread.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pippin {
namespace {

void cpu_relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Long enough to bridge the single-threaded work between two kernels, short against a scheduler's
// time slice. A pool that spins on starves whoever shares its CPUs, and then itself.
constexpr auto kSpin = std::chrono::microseconds(30);
constexpr int kPausesPerClockRead = 16;

// Memory that a thread will read soon. Set by the thread of run(), prefetched by the idle one.
class alignas(64) PrefetchHint {
 public:
  void set(const void* from, size_t bytes) {
    from_.store(static_cast<const char*>(from), std::memory_order_relaxed);
    bytes_.store(bytes, std::memory_order_relaxed);
  }

  // Prefetches the next few lines. Returns false when none are left.
  bool prefetch_lines() {
    const char* from = from_.load(std::memory_order_relaxed);
    if (from != seen_) {
      seen_ = from;
      done_ = 0;
    }
    if (done_ >= bytes_.load(std::memory_order_relaxed)) return false;
    for (int line = 0; line < kLinesAtOnce; ++line, done_ += 64)
      __builtin_prefetch(from + done_, 0, 2);
    return true;
  }

 private:
  static constexpr int kLinesAtOnce = 4;  // so that the end of the wait is seen soon
  std::atomic<const char*> from_{nullptr};
  std::atomic<size_t> bytes_{0};
  const char* seen_ = nullptr;  // of the waiting thread
  size_t done_ = 0;
};

// Spins until done() or until the spin time is over. Returns whether done() came true.
template <typename Done>
bool spin_until(Done done, PrefetchHint& hint) {
  if (done()) return true;
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      if (!hint.prefetch_lines()) cpu_relax();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

#if defined(__linux__)
// Returns quota / period of one cpu.max or cfs file pair, rounded up; 0 when unlimited or absent.
int quota_cpus(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  return std::max(1, static_cast<int>((quota + period - 1) / period));
}

int cgroup_v2_cpus(const std::string& directory) {
  std::ifstream file(directory + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max") return 0;
  return quota_cpus(std::strtod(quota.c_str(), nullptr), period);
}

int cgroup_v1_cpus(const std::string& directory) {
  std::ifstream quota_file(directory + "/cpu.cfs_quota_us");
  std::ifstream period_file(directory + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  return quota_cpus(quota, period);
}

// A quota of any ancestor binds too, so every level up to the root is read.
template <typename Read>
int smallest_quota(const std::string& root, std::string path, Read read) {
  int smallest = 0;
  while (true) {
    const int cpus = read(root + path);
    if (cpus > 0 && (smallest == 0 || cpus < smallest)) smallest = cpus;
    if (path.empty()) return smallest;
    path.erase(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

// Returns the CPUs that the cgroup quotas allow, or 0 when there is no quota.
int cgroup_cpus() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  int smallest = 0;
  while (std::getline(file, line)) {  // "id:controllers:path"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    int cpus = 0;
    if (controllers.empty()) {
      cpus = smallest_quota("/sys/fs/cgroup", path, cgroup_v2_cpus);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      cpus = smallest_quota("/sys/fs/cgroup/cpu", path, cgroup_v1_cpus);
    }
    if (cpus > 0 && (smallest == 0 || cpus < smallest)) smallest = cpus;
  }
  return smallest;
}

int affinity_cpus() {
  // The set must hold every CPU the kernel knows, which may exceed CPU_SETSIZE.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return count;
  }
  return 0;
}
#endif

}  // namespace

int allowed_cpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  if (const int affine = affinity_cpus(); affine > 0) cpus = affine;
  if (const int quota = cgroup_cpus(); quota > 0) cpus = std::min(cpus, quota);
#endif
  return std::max(1, cpus);
}

// One job at a time. Each thread has a run of neighbouring tasks, which read neighbouring memory;
// then it helps the others. A ticket holds the job's number (high half) and the run's tasks not yet
// taken (low half). A thread lowers it by one to take a task. A worker that wakes late sees
// another number, and cannot take a task of a job it has not seen. The job's fields are stable
// while a task of it is unfinished, because run() waits for all tasks.
struct ThreadPool::State {
  explicit State(int threads);
  ~State();

  void end();
  void worker(int thread);
  void work(int thread);
  uint32_t take_run(size_t run, int thread);
  void run_task(uint32_t task, int thread);
  void rethrow();
  bool wait_for_job(uint32_t seen, int thread);

  // The end of a thread's run of tasks.
  uint32_t end_of(size_t run, uint32_t count) const {
    return static_cast<uint32_t>(uint64_t{count} * (run + 1) / runs.size());
  }

  // Each in a cache line of its own: they are written by different threads.
  struct alignas(64) Run {
    std::atomic<uint64_t> ticket{0};  // job number << 32 | tasks not yet taken
  };
  std::vector<Run> runs;                            // one for each thread
  std::vector<PrefetchHint> hints;                  // likewise
  alignas(64) std::atomic<uint32_t> unfinished{0};  // tasks not yet finished
  alignas(64) std::atomic<uint32_t> generation{0};  // job number; workers sleep on it
  alignas(64) std::atomic<uint32_t> sleepers{0};
  std::atomic<bool> stop{false};

  // The job. Atomic only so that a late reader is no data race; ordered by the tickets.
  alignas(64) std::atomic<Invoke> invoke{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<uint32_t> tasks{0};
  std::atomic<bool> has_thrown{false};  // then `thrown` says what
  std::mutex thrown_mutex;
  std::exception_ptr thrown;  // by a task of the job, the first

  std::vector<Thread> workers;
};

ThreadPool::State::State(int threads)
    : runs(static_cast<size_t>(threads)), hints(static_cast<size_t>(threads)) {
  workers.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int t = 1; t < threads; ++t)
      workers.emplace_back("[thread_pool]", [this, t] { worker(t); });
  } catch (...) {  // the system has no more threads
    end();
    throw;
  }
}

ThreadPool::State::~State() { end(); }

void ThreadPool::State::end() {
  stop.store(true);
  generation.fetch_add(1);
  generation.notify_all();
  for (Thread& thread : workers) thread.join();
}

// A task that throws counts as done: run() waits for all, and throws it then.
void ThreadPool::State::run_task(uint32_t task, int thread) {
  try {
    invoke.load(std::memory_order_relaxed)(context.load(std::memory_order_relaxed),
                                           static_cast<int>(task), thread);
  } catch (...) {
    const std::lock_guard lock(thrown_mutex);
    if (!thrown) thrown = std::current_exception();
    has_thrown.store(true, std::memory_order_release);
  }
}

void ThreadPool::State::rethrow() {
  if (!has_thrown.load(std::memory_order_acquire)) return;
  std::exception_ptr first;
  {
    const std::lock_guard lock(thrown_mutex);
    first.swap(thrown);
    has_thrown.store(false, std::memory_order_relaxed);
  }
  std::rethrow_exception(first);
}

// Takes and runs the tasks of one run until none is left. Returns how many that were.
uint32_t ThreadPool::State::take_run(size_t run, int thread) {
  std::atomic<uint64_t>& ticket = runs[run].ticket;
  uint32_t finished = 0;
  uint64_t seen = ticket.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(seen) != 0) {
    if (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) {
      cpu_relax();
      continue;
    }
    const uint32_t count = tasks.load(std::memory_order_relaxed);
    const uint32_t task = end_of(run, count) - static_cast<uint32_t>(seen);
    run_task(task, thread);
    ++finished;
    seen = ticket.load(std::memory_order_acquire);
    // A new job cannot begin before this thread reports its tasks, so `seen` is of the same job.
  }
  return finished;
}

// Takes and runs tasks until none is left: of this thread's run first, then of the others'.
void ThreadPool::State::work(int thread) {
  uint32_t finished = 0;
  for (size_t i = 0; i < runs.size(); ++i)
    finished += take_run((static_cast<size_t>(thread) + i) % runs.size(), thread);
  if (finished == 0) return;
  if (unfinished.fetch_sub(finished, std::memory_order_acq_rel) == finished) {
    unfinished.notify_one();
  }
}

// Returns false when the pool is being destroyed.
bool ThreadPool::State::wait_for_job(uint32_t seen, int thread) {
  const auto changed = [&] { return generation.load(std::memory_order_acquire) != seen; };
  if (!spin_until(changed, hints[static_cast<size_t>(thread)])) {
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (generation.load(std::memory_order_seq_cst) == seen) {
      generation.wait(seen, std::memory_order_seq_cst);
    }
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }
  return !stop.load(std::memory_order_relaxed);
}

void ThreadPool::State::worker(int thread) {
  uint32_t seen = 0;
  while (wait_for_job(seen, thread)) {
    seen = generation.load(std::memory_order_acquire);
    work(thread);
  }
}

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1, "a pool has at least the caller's thread");
  state_ = std::make_unique<State>(threads);
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::prefetch(int thread, const void* from, size_t bytes) {
  state_->hints[static_cast<size_t>(thread)].set(from, bytes);
}

void ThreadPool::run_erased(int tasks, Invoke invoke, void* context) {
  if (tasks <= 1 || state_->workers.empty()) {
    for (int task = 0; task < tasks; ++task) invoke(context, task, 0);
    return;
  }
  State& s = *state_;
  const auto count = static_cast<uint32_t>(tasks);
  const uint32_t job = s.generation.load(std::memory_order_relaxed) + 1;
  s.invoke.store(invoke, std::memory_order_relaxed);
  s.context.store(context, std::memory_order_relaxed);
  s.tasks.store(count, std::memory_order_relaxed);
  s.unfinished.store(count, std::memory_order_relaxed);
  for (uint32_t run = 0, begin = 0; run < s.runs.size(); ++run) {
    const uint32_t end = s.end_of(run, count);
    s.runs[run].ticket.store(uint64_t{job} << 32 | (end - begin), std::memory_order_release);
    begin = end;
  }
  // Either a worker about to sleep sees the new generation, or it is counted as a sleeper here.
  s.generation.store(job, std::memory_order_seq_cst);
  if (s.sleepers.load(std::memory_order_seq_cst) != 0) s.generation.notify_all();

  s.work(0);
  const auto finished = [&] { return s.unfinished.load(std::memory_order_acquire) == 0; };
  if (spin_until(finished, s.hints[0])) return s.rethrow();
  for (uint32_t left = s.unfinished.load(std::memory_order_acquire); left != 0;
       left = s.unfinished.load(std::memory_order_acquire)) {
    s.unfinished.wait(left, std::memory_order_acquire);
  }
  s.rethrow();
}

}  // namespace pippin
