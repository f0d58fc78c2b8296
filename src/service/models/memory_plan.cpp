#include "service/models/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>

#include "engine/core/attention_group.h"
#include "engine/core/state_group.h"

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace pippin::service {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
// What stays for the program itself, its queues and the requests in flight.
constexpr uint64_t kProgramBytes = 64 * kMiB;
// Of each token, in the vocabulary that grammars are compiled against (text::GrammarVocabulary),
// which is prepared with the model.
constexpr uint64_t kGrammarBytesPerToken = 640;
// What the driver, the libraries' work spaces, captured graphs and freed buffers take of a GPU
// beside all else; seen on an H200 with 64 answers at once.
constexpr uint64_t kGpuBytes = 3072 * kMiB;
// Beside the contexts that are asked for, a pool holds 16 conversations of 2048 positions where
// that is more. A larger pool only lengthens the prefix cache's memory.
constexpr int64_t kPositionsWanted = int64_t{16} * 2048;
// A pool of windowed layers holds one window for every so many positions of the other pool: for
// each conversation of 2048, or of four windows where that is more. Fewer would end a
// conversation's place in the prefix cache earlier here than there.
constexpr int64_t kPositionsPerWindow = 2048;
constexpr int64_t kWindowsPerWindow = 4;
// States kept beside those of running rows, for prompts that go on from one.
constexpr int64_t kCheckpoints = 16;
// What one sequence takes with its checkpoints, and one more, so that two can run.
constexpr int64_t kStatesMin = engine::StateGroup::kBlocksMin + 1;
// A context below this is of no use; better to say that the memory does not suffice.
constexpr int kContextTokensMin = 256;

// Activations of one step: per token the residual, its norm, q, k, v and the attention's output
// (about 8 E), gate, up and their product (3 F), all f32; per row the logits and a copy that the
// sampler sorts (2 V). On a shared machine the program is in the same memory.
uint64_t scratch_of(const MemoryNeeds& needs, const MemoryOptions& options,
                    const Machine& machine) {
  const uint64_t per_token = uint64_t(needs.embedding) * 8 + uint64_t(needs.feed_forward) * 3;
  const uint64_t floats = uint64_t(options.step_tokens_max) * per_token +
                          uint64_t(options.rows_max) * uint64_t(needs.vocab) * 2;
  const uint64_t program = kProgramBytes + uint64_t(needs.vocab) * kGrammarBytesPerToken;
  return floats * sizeof(float) + (machine.shared ? program : kGpuBytes);
}

// Three quarters of a shared machine, and nine tenths of what is free now: the rest is the user's.
uint64_t default_budget(const Machine& machine) {
  if (!machine.shared) return machine.memory_bytes_available / 10 * 9;
  const uint64_t total = machine.memory_bytes_total / 4 * 3;
  const uint64_t available = machine.memory_bytes_available / 10 * 9;
  if (total == 0) return available;
  return available == 0 ? total : std::min(total, available);
}

uint64_t bytes_of(const MemoryNeeds& needs, KvKind kind) {
  for (const KvGroupSpec& group : needs.kv)
    if (group.kind == kind) return static_cast<uint64_t>(group.bytes);
  return 0;
}

// Of a block of the layers that keep every position: those that see one chunk lie among them.
uint64_t full_bytes(const MemoryNeeds& needs) {
  return bytes_of(needs, KvKind::kFull) + bytes_of(needs, KvKind::kChunked);
}

int window_of(const MemoryNeeds& needs) {
  for (const KvGroupSpec& group : needs.kv)
    if (group.kind == KvKind::kSliding) return group.window;
  return 0;
}

// The KV groups of a model, by the number of blocks in the first.
class KvSizes {
 public:
  KvSizes(const MemoryNeeds& needs, const MemoryOptions& options)
      : needs_(needs),
        step_tokens_max_(options.step_tokens_max),
        shape_{KvKind::kSliding, window_of(needs), needs.block_positions} {}

  // Blocks of windowed layers beside `blocks` of the others; 0 = as many, in the same group.
  int64_t window_blocks(int64_t blocks) const {
    if (shape_.window <= 0 || bytes_of(needs_, KvKind::kSliding) == 0) return 0;
    const int64_t share = std::max(kPositionsPerWindow, kWindowsPerWindow * shape_.window);
    const int64_t windows = (blocks * needs_.block_positions + share - 1) / share;
    const int64_t wanted = shape_.blocks_min(step_tokens_max_) +
                           std::max<int64_t>(windows - 1, 0) * shape_.blocks_over(1);
    return wanted < blocks ? wanted : 0;
  }

  // The most blocks that fit. They and their bytes are bounded, whatever the file says.
  int64_t most(uint64_t budget) const {
    int64_t low = 0, high = std::numeric_limits<int32_t>::max() / needs_.block_positions;
    while (low < high) {
      const int64_t middle = low + (high - low + 1) / 2;
      if (fit(middle, budget))
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }

 private:
  bool fit(int64_t blocks, uint64_t budget) const {
    const uint64_t each = full_bytes(needs_);
    const uint64_t window_each = bytes_of(needs_, KvKind::kSliding);
    if (each > 0 && uint64_t(blocks) > budget / each) return false;
    const int64_t few = window_blocks(blocks);
    const uint64_t windows = uint64_t(few > 0 ? few : blocks);
    return window_each == 0 || windows <= (budget - uint64_t(blocks) * each) / window_each;
  }

  const MemoryNeeds& needs_;
  const int step_tokens_max_;
  const engine::Sight shape_;
};

// Says how many blocks there are of each group, and what they take.
void set_blocks(MemoryPlan& plan, const MemoryNeeds& needs, const KvSizes& sizes, int64_t blocks,
                int64_t states) {
  const int64_t few = sizes.window_blocks(blocks);
  KvGroupSpec full{KvKind::kFull};
  std::vector<KvGroupPlan> others;
  for (const KvGroupSpec& group : needs.kv) {
    if (group.kind == KvKind::kState) {
      others.push_back({group, static_cast<int>(states)});
    } else if (group.kind == KvKind::kSliding && few > 0) {
      others.push_back({group, static_cast<int>(few)});
    } else {
      full.layers += group.layers;
      full.bytes += group.bytes;
    }
  }
  const bool has_positions = std::ranges::any_of(
      needs.kv, [](const KvGroupSpec& group) { return group.kind != KvKind::kState; });
  if (has_positions) plan.kv.add(full, static_cast<int>(blocks));
  plan.kv.groups.insert(plan.kv.groups.end(), others.begin(), others.end());
  plan.kv_bytes = plan.kv.bytes();
}

// States beside the blocks of positions: one for each row and some checkpoints, but no more than a
// quarter of the memory, where positions need the rest.
int64_t states_of(const MemoryNeeds& needs, const MemoryOptions& options, uint64_t budget) {
  const uint64_t each = bytes_of(needs, KvKind::kState);
  if (each == 0) return 0;
  if (options.least) return kStatesMin;
  const bool alone = needs.kv.size() == 1;
  const auto most = static_cast<int64_t>(
      std::min<uint64_t>((alone ? budget : budget / 4) / each, std::numeric_limits<int>::max()));
  return std::max(kStatesMin, std::min(options.rows_max + kCheckpoints, most));
}

Error too_small(const MemoryPlan& plan, const MemoryNeeds& needs, const MemoryOptions& options,
                std::string_view what) {
  std::string kv;
  if (const uint64_t windows = bytes_of(needs, KvKind::kSliding); windows > 0)
    kv += fmt::format(", in layers with a window {} more at most", bytes_text(windows));
  if (const uint64_t state = bytes_of(needs, KvKind::kState); state > 0)
    kv += fmt::format(", each state of the recurrent layers {}", bytes_text(state));
  if (options.kv_bytes > 0) kv += fmt::format(", --kv-memory is {}", bytes_text(options.kv_bytes));
  return fail(
      Code::kOutOfMemory,
      fmt::format(
          "[memory] {} does not fit: the budget is {}, the weights take {}, a step's scratch {}, "
          "and each {} positions of context {}{}",
          what, bytes_text(plan.budget_bytes), bytes_text(plan.weights_bytes),
          bytes_text(plan.scratch_bytes), plan.kv.block_positions, bytes_text(full_bytes(needs)),
          kv));
}

}  // namespace

uint64_t memory_budget(uint64_t wished, const Machine& machine) {
  return wished > 0 ? wished : default_budget(machine);
}

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const MemoryOptions& options,
                               const Machine& machine) {
  CHECK(needs.block_positions > 0 && options.rows_max > 0 && options.step_tokens_max > 0);
  const bool has_kv = std::any_of(needs.kv.begin(), needs.kv.end(),
                                  [](const KvGroupSpec& group) { return group.bytes > 0; });
  const bool sound = std::all_of(needs.kv.begin(), needs.kv.end(), [](const KvGroupSpec& group) {
    return group.bytes >= 0 && group.window >= 0;
  });
  if (!has_kv || !sound || needs.context_tokens_max <= 0) {
    return fail(Code::kInvalidFile, "[memory] the model has no KV size or no context length");
  }
  if (options.context_tokens > needs.context_tokens_max) {
    return fail(Code::kInvalidArgument,
                fmt::format("--context {}: the model was made for {} tokens; beyond that it writes "
                            "gibberish. --rope-scale stretches it, at some cost in quality",
                            options.context_tokens, needs.context_tokens_max),
                "--context");
  }
  MemoryPlan plan;
  plan.budget_bytes = memory_budget(options.memory_bytes_max, machine);
  plan.weights_bytes = needs.weights_bytes;
  plan.scratch_bytes = scratch_of(needs, options, machine);
  plan.kv.type = needs.kv_type;
  plan.kv.block_positions = needs.block_positions;
  plan.context_tokens_model = needs.context_tokens_max;

  if (plan.weights_bytes > plan.budget_bytes ||
      plan.scratch_bytes > plan.budget_bytes - plan.weights_bytes) {
    return too_small(plan, needs, options, "the model");
  }
  uint64_t kv_budget = plan.budget_bytes - plan.weights_bytes - plan.scratch_bytes;
  if (options.kv_bytes > kv_budget) {
    return too_small(plan, needs, options,
                     fmt::format("a KV cache of {}", bytes_text(options.kv_bytes)));
  }
  if (options.kv_bytes > 0) kv_budget = options.kv_bytes;
  const int64_t states = states_of(needs, options, kv_budget);
  const uint64_t state_bytes = uint64_t(states) * bytes_of(needs, KvKind::kState);
  if (state_bytes > kv_budget)
    return too_small(plan, needs, options, fmt::format("memory for {} states", states));
  kv_budget -= state_bytes;
  const int64_t block = plan.kv.block_positions;
  const KvSizes sizes(needs, options);
  const int64_t fits = sizes.most(kv_budget) * block;  // positions

  const int asked = options.context_tokens;
  if (asked > 0 && asked > fits) {
    return too_small(plan, needs, options,
                     fmt::format("a context of {} tokens (at most {} do)", asked, fits));
  }
  const int64_t context = asked > 0 ? asked : std::min<int64_t>(needs.context_tokens_max, fits);
  if (asked <= 0 && context < std::min(kContextTokensMin, needs.context_tokens_max)) {
    return too_small(plan, needs, options,
                     fmt::format("a context of {} tokens", kContextTokensMin));
  }
  plan.context_tokens_max = static_cast<int>(context);
  const int64_t wanted = options.kv_bytes > 0 ? fits
                         : options.least      ? context
                                         : std::max(context * options.contexts, kPositionsWanted);
  set_blocks(plan, needs, sizes, (std::min(wanted, fits) + block - 1) / block, states);
  return plan;
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  const char* unit = "KiB";
  for (const char* next : {"MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string MemoryPlan::to_text() const {
  const auto line = [](std::string_view name, uint64_t bytes, const std::string& what) {
    return fmt::format("  {:<8} {:>10}  {}\n", name, bytes_text(bytes), what);
  };
  std::string text;
  text += line("weights", weights_bytes, "packed from the file");
  std::string groups;
  if (kv.blocks() > 0) {
    groups = fmt::format("{} tokens as {} in {} blocks of {}, each {}", positions(), kv.type,
                         kv.blocks(), kv.block_positions, bytes_text(block_bytes(KvKind::kFull)));
  }
  if (const KvGroupPlan* windows = kv.group(KvKind::kSliding)) {
    groups += fmt::format("; {} for windows of {}, each {}", windows->blocks, windows->window,
                          bytes_text(block_bytes(KvKind::kSliding)));
  }
  if (const KvGroupPlan* states = kv.group(KvKind::kState)) {
    groups += fmt::format("{}{} states of recurrent layers, each {}", groups.empty() ? "" : "; ",
                          states->blocks, bytes_text(block_bytes(KvKind::kState)));
  }
  text += line("kv", kv_bytes, groups);
  text += line("scratch", scratch_bytes, "activations, logits, grammars, the program");
  text += line(
      "budget", budget_bytes,
      fmt::format("context {} of the model's {} tokens", context_tokens_max, context_tokens_model));
  return text;
}

namespace {

#ifdef __linux__
// Reads "max" or a number of bytes from a cgroup file; no limit reads as the largest number.
uint64_t cgroup_bytes(const char* path) {
  std::ifstream file(path);
  uint64_t bytes = 0;
  return file >> bytes ? bytes : std::numeric_limits<uint64_t>::max();
}

// Returns the bytes of one line of /proc/meminfo ("MemTotal:  24000 kB"), or 0.
uint64_t meminfo_bytes(std::string_view wanted) {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  uint64_t amount = 0;
  while (file >> name >> amount) {
    std::getline(file, unit);
    if (name == wanted) return amount * 1024;
  }
  return 0;
}
#endif

}  // namespace

Machine this_machine() {
  Machine machine;
#ifdef __linux__
  machine.memory_bytes_total = meminfo_bytes("MemTotal:");
  machine.memory_bytes_available = meminfo_bytes("MemAvailable:");
  const uint64_t limit = std::min(cgroup_bytes("/sys/fs/cgroup/memory.max"),
                                  cgroup_bytes("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  machine.memory_bytes_total = std::min(machine.memory_bytes_total, limit);
  machine.memory_bytes_available = std::min(machine.memory_bytes_available, limit);
#elif defined(__APPLE__)
  uint64_t bytes = 0;
  size_t size = sizeof(bytes);
  if (sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0)
    machine.memory_bytes_total = bytes;
#endif
  return machine;
}

}  // namespace pippin::service
