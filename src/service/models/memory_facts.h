// What a model takes of a machine's memory, for `pippin show`: by the memory plan's own terms and
// figures. Pure. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "service/models/load.h"
#include "service/models/memory_plan.h"

namespace pippin::service {

/// What a group of layers keeps of a sequence.
struct KvGroupFacts {
  std::string_view kind;  // "full", "mla", "sliding", "chunked", "state", "cross"
  int layers = 0;
  int window = 0;         // positions kept, or of a chunk; 0: all
  int latent_values = 0;  // mla: of each position in each layer
  /// Units: bytes. Of each position in all layers; 0 of a kind that keeps no positions.
  int64_t bytes_per_token = 0;
  int64_t bytes_per_sequence = 0;  // state, cross: of all layers
};

std::vector<KvGroupFacts> kv_group_facts(const MemoryNeeds& needs);

/// What one sequence of a length takes at least.
struct MemoryAt {
  int context_tokens = 0;
  uint64_t weights_bytes = 0, kv_bytes = 0, scratch_bytes = 0;
  bool fits = false;  // whether `pippin serve --context N` has room for it
  uint64_t bytes() const { return weights_bytes + kv_bytes + scratch_bytes; }
};

/// Errors: of plan_memory(), but for what does not fit.
Result<MemoryAt> memory_at(const MemorySizing& sizing, int context_tokens);

/// Returns the contexts that are told where nobody asks for one: 4096, 8192, 32768, as far as the
/// model's own is longer, and that.
std::vector<int> usual_contexts(const MemoryNeeds& needs);

}  // namespace pippin::service
