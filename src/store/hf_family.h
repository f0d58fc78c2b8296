// HfFamily: what tells one kind of Hugging Face model from another: the fields of its config.json
// and the names of its tensors. Plain constants; thread: any.
// Source: the configuration classes of transformers.
#pragma once

#include <span>
#include <string_view>

namespace pippin::store {

/// A module of a layer, as transformers and as GGUF name it.
struct ModuleName {
  std::string_view theirs, gguf;
};

/// Numbers are what the configuration class takes for fields that a file leaves out. Zero: the file
/// must say.
struct HfFamily {
  std::string_view model_type;
  std::string_view architecture;  // GGUF's name
  std::string_view part_of = {};  // the model_type of models whose text_config it is, too
  std::string_view activation = "silu";
  bool qkv_bias = false;
  int vocab = 0, width = 0, feed_forward = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int context = 0;
  double eps = 0, rope_base = 10000;
  double window_rope_base = 0, query_scalar = 0;  // > 0: the file may have these fields
  int window = 0, window_period = 0;
  bool window_by_flag = false;  // sliding_window means nothing without use_sliding_window
  /// Fields of factors, 1 where a file leaves them out; empty: it has none.
  std::string_view attention_scale = {}, embedding_scale = {}, residual_scale = {},
                   logit_scale = {};
  std::span<const ModuleName> names = {};  // those that mean something else than in a llama
};

/// Returns all that this build knows. Defined by models/families.
std::span<const HfFamily* const> hf_families();

}  // namespace pippin::store
