#include "service/models/memory_facts.h"

namespace pippin::service {
namespace {

// More than any machine has; sums of a few of it stay inside a uint64_t.
constexpr uint64_t kUnlimitedBytes = uint64_t{1} << 60;

bool keeps_positions(KvKind kind) { return kind != KvKind::kState && kind != KvKind::kCross; }

}  // namespace

std::vector<KvGroupFacts> kv_group_facts(const MemoryNeeds& needs) {
  std::vector<KvGroupFacts> all;
  for (const KvGroupSpec& group : needs.kv) {
    const bool is_latent = group.kind == KvKind::kFull && needs.latent_values > 0;
    KvGroupFacts facts{is_latent ? "mla" : kv_kind_name(group.kind), group.layers, group.window};
    if (is_latent) facts.latent_values = needs.latent_values;
    (keeps_positions(group.kind) ? facts.bytes_per_token : facts.bytes_per_sequence) =
        keeps_positions(group.kind) ? group.bytes / needs.block_positions : group.bytes;
    all.push_back(facts);
  }
  return all;
}

Result<MemoryAt> memory_at(const MemorySizing& sizing, int context_tokens) {
  MemoryOptions options = sizing.options;
  options.memory_bytes_max = kUnlimitedBytes;
  options.kv_bytes = 0;
  options.least = true;
  options.context_tokens = context_tokens;
  ASSIGN_OR_RETURN(const MemoryPlan plan, plan_memory(sizing.needs, options, sizing.machine));
  MemoryOptions served = sizing.options;
  served.context_tokens = context_tokens;
  return MemoryAt{context_tokens, plan.weights_bytes, plan.kv_bytes, plan.scratch_bytes,
                  plan_memory(sizing.needs, served, sizing.machine).ok()};
}

std::vector<int> usual_contexts(const MemoryNeeds& needs) {
  std::vector<int> contexts;
  for (const int tokens : {4096, 8192, 32768})
    if (tokens < needs.context_tokens_max) contexts.push_back(tokens);
  contexts.push_back(needs.context_tokens_max);
  return contexts;
}

}  // namespace pippin::service
