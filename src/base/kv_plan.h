// KvPlan: which groups of layers keep keys and values (or states) together, and how many blocks
// each group has. Stated by the model, sized by the memory plan, followed by scheduler and runner.
// Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pippin {

/// What layers of a group keep of a sequence. A model without any group (an encoder) keeps nothing.
enum class KvKind : uint8_t {
  kFull,     // every position; compressed keys and values (MLA), too
  kSliding,  // positions that the last `window` tokens see
  kChunked,  // positions of the chunk of `window` positions that the next token lies in
  kState,    // one recurrent state, which all tokens so far are folded into
  kCross,    // keys and values of an encoded input, of fixed length
};

constexpr std::string_view kv_kind_name(KvKind kind) {
  constexpr std::string_view kNames[] = {"full", "sliding", "chunked", "state", "cross"};
  return kNames[static_cast<size_t>(kind)];
}

/// What a model says of a group of its layers.
struct KvGroupSpec {
  KvKind kind = KvKind::kFull;
  int layers = 0;
  /// Units: bytes in all layers of the group: of a block of positions; kState: of one state;
  /// kCross: of one encoded input.
  int64_t bytes = 0;
  int window = 0;  // kSliding: positions that a query sees, its own included; kChunked: of a chunk
  /// kState: prompts are cut so that a state can be kept at each multiple of it.
  int checkpoint_positions = 0;
  bool operator==(const KvGroupSpec&) const = default;
};

/// A group with the blocks that memory allows it: of positions, states or encoded inputs.
struct KvGroupPlan : KvGroupSpec {
  int blocks = 0;
  bool operator==(const KvGroupPlan&) const = default;
};

struct KvPlan {
  int block_positions = 16;
  std::string type = "f16";  // what blocks hold: "f16", "int8", "bf16"
  std::vector<KvGroupPlan> groups;

  /// Returns a plan with one group that keeps every position.
  static KvPlan full(int blocks, int block_positions = 16) {
    KvPlan plan;
    plan.block_positions = block_positions;
    plan.add({KvKind::kFull}, blocks);
    return plan;
  }
  void add(KvGroupSpec spec, int blocks) { groups.push_back({std::move(spec), blocks}); }

  /// Returns the first group of a kind; null without one.
  const KvGroupPlan* group(KvKind kind) const {
    for (const KvGroupPlan& group : groups)
      if (group.kind == kind) return &group;
    return nullptr;
  }
  KvGroupPlan* group(KvKind kind) {
    return const_cast<KvGroupPlan*>(std::as_const(*this).group(kind));
  }
  /// Returns the blocks of the first group of a kind; 0 without one.
  int blocks(KvKind kind = KvKind::kFull) const {
    const KvGroupPlan* found = group(kind);
    return found == nullptr ? 0 : found->blocks;
  }
  /// Returns the positions that one sequence can ever hold: those of the smallest group that keeps
  /// all of them; -1 if none does.
  int64_t positions_max() const {
    int64_t most = -1;
    for (const KvGroupPlan& group : groups) {
      if (group.kind != KvKind::kFull) continue;
      const int64_t positions = int64_t{group.blocks} * block_positions;
      if (most < 0 || positions < most) most = positions;
    }
    return most;
  }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const KvGroupPlan& group : groups)
      sum += static_cast<uint64_t>(group.bytes) * static_cast<uint64_t>(group.blocks);
    return sum;
  }
  bool operator==(const KvPlan&) const = default;
};

}  // namespace pippin
