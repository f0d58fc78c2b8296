// StepBatch: the tokens of all sequences of a step, flattened. Only attention and KV writes look at
// rows. Thread: the device thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "mlx/array.h"
#include "nn/backend/kv_cache.h"
#include "nn/types/attention_row.h"

namespace pippin::nn {

/// A backend's own form of what a step tells of one KV group.
struct DeviceTables {
  virtual ~DeviceTables() = default;
};

/// Where a step's keys and values lie in one of the KV groups.
struct AttentionMetadata {
  std::vector<int32_t> slots;      // [T] block * S + offset: where a token's K and V go
  std::vector<AttentionRow> rows;  // one per sequence; tables are borrowed from the plan
  std::shared_ptr<const DeviceTables> device;  // by Backend::prepare_step()
};

/// Tokens of one row that see each other, whichever comes first: indices into [0, T).
struct TokenSpan {
  int begin = 0, count = 0;
  bool operator==(const TokenSpan&) const = default;
};

struct StepBatch {
  std::vector<int32_t> tokens;  // [T]
  std::optional<mlx::core::array>
      token_ids;                      // [T] int32: the tokens, where only the device knows them
  int position_components = 1;        // C
  std::vector<int32_t> positions;     // [T, C] position of each token: its place, or as stated
  std::vector<TokenSpan> spans;       // all other tokens see those before them
  std::vector<int32_t> embedded;      // indices into [0, T) of tokens that have no id
  std::vector<float> embeddings;      // [embedded, E] in place of the table's rows
  std::vector<int32_t> logit_tokens;  // indices into [0, T) whose hidden states are wanted
  std::vector<AttentionMetadata> kv;  // one for each group of the KV plan

  const AttentionMetadata& kv_of(const KvLayerStore& layer) const {
    return kv[static_cast<size_t>(layer.group)];
  }
  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
};

}  // namespace pippin::nn
