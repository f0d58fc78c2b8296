// MemoryPlan: how the memory of a machine is shared between a model's weights, its KV blocks and a
// step's scratch. Computed once before loading, then frozen. Pure, but for this_machine(). Thread:
// any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/kv_plan.h"
#include "base/result.h"

namespace pippin::service {

/// What the machine has. Units: bytes. On Linux `available` counts reclaimable cache and obeys the
/// cgroup's limit.
struct Machine {
  uint64_t memory_bytes_total = 0;
  uint64_t memory_bytes_available = 0;
  bool shared = true;  // with the user's other programs; a GPU's own memory is not
};
/// Reads the machine's memory; zeros where the system does not say.
Machine this_machine();

/// What a model's file asks for.
struct MemoryNeeds {
  uint64_t weights_bytes = 0;
  std::vector<KvGroupSpec> kv;  // the group that keeps every position is the first
  std::string kv_type = "f16";  // what blocks hold
  int latent_values = 0;        // of each position in a layer with compressed K and V (MLA)
  int block_positions = 16;
  int context_tokens_max = 0;  // what the model was trained for
  int embedding = 0, feed_forward = 0, vocab = 0;
};

/// What the user asks for; 0 = not said.
struct MemoryOptions {
  uint64_t memory_bytes_max = 0;
  uint64_t kv_bytes = 0;  // for the blocks alone; within the budget
  int context_tokens = 0;
  int contexts = 2;    // whole ones in the pool, where the memory allows: running and cached
  bool least = false;  // no more than one context: as small as a model can be made
  int rows_max = 64;
  int step_tokens_max = 512;
};

struct MemoryPlan {
  uint64_t budget_bytes = 0;   // what all of it may take
  uint64_t weights_bytes = 0;  // the packed copy; the file's mapping is the kernel's cache
  uint64_t scratch_bytes = 0;  // activations and logits of one step
  uint64_t kv_bytes = 0;       // of all blocks
  /// Windowed layers have a group of their own where fewer blocks suffice for them; else they lie
  /// in the group that keeps every position. States always have their own.
  KvPlan kv;
  int context_tokens_max = 0;
  int context_tokens_model = 0;  // what the file allows

  uint64_t bytes_total() const { return weights_bytes + scratch_bytes + kv_bytes; }
  /// Returns the positions that all sequences together can hold; 0 where only states are kept.
  int64_t positions() const { return int64_t{kv.blocks()} * kv.block_positions; }
  /// Returns the bytes of a block of one kind of group; 0 without one.
  uint64_t block_bytes(KvKind kind) const {
    const KvGroupPlan* group = kv.group(kind);
    return group == nullptr ? 0 : static_cast<uint64_t>(group->bytes);
  }
  /// Returns the plan for a person: a few lines, each "name  size  what it is".
  std::string to_text() const;
};

/// Returns what all models together may take: what the user says, or else most of what is free.
uint64_t memory_budget(uint64_t wished, const Machine& machine);

/// Shares out the memory. Without a wish the context is the model's, shortened to what fits.
/// Errors: kOutOfMemory, with the numbers and what to change, when the weights or the asked context
/// do not fit.
Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const MemoryOptions& options,
                               const Machine& machine);

/// Returns "1.8 GiB" and the like.
std::string bytes_text(uint64_t bytes);

}  // namespace pippin::service
