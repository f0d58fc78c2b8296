// TensorName: what the name of a tensor says, as GGUF files name them. Folders' tensors have such
// names, too, once read. Plain functions; thread: any.
#pragma once

#include <string_view>

namespace pippin::store {

/// "blk.3.attn_q.weight" is {3, "attn_q.weight"}. -1: it is of no layer, and all of it is the part.
/// Borrows the name.
struct TensorName {
  int layer = -1;
  std::string_view part;
};
TensorName split_name(std::string_view name);

/// One expert's tensor where experts lie apart: "blk.3.ffn_up.12.weight" is {12, "blk.3.ffn_up"}.
/// -1: it is no expert's. Borrows the name.
struct ExpertName {
  int number = -1;
  std::string_view stack;
};
ExpertName expert_name(std::string_view name);

}  // namespace pippin::store
