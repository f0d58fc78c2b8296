// HfFamily: what tells one kind of Hugging Face model from another: the fields of its config.json
// and the names of its tensors. Plain constants; thread: any.
// Source: the configuration classes of transformers.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace pippin::store {

class HfFields;
struct ModelConfig;

/// A module of a layer, as transformers and as GGUF name it.
struct ModuleName {
  std::string_view theirs, gguf;
};

/// A field of config.json that a family calls otherwise: "hidden_size", "n_embd".
struct FieldName {
  std::string_view usual, own;
};

/// Which layers a sliding window is meant for, where the file does not list them.
enum class WindowRule : uint8_t {
  kAll,     // every layer
  kFlag,    // those from max_window_layers on, and only with use_sliding_window
  kPeriod,  // all but every n-th (sliding_window_pattern)
};

/// Numbers are what the configuration class takes for fields that a file leaves out. Zero: the file
/// must say.
struct HfFamily {
  std::string_view model_type;
  std::string_view architecture;  // GGUF's name
  std::string_view part_of = {};  // the model_type of models whose text_config it is, too
  std::string_view activation = "silu";
  std::string_view activation_alias = {};  // another name that transformers reads as the same
  bool qkv_bias = false;
  int vocab = 0, width = 0, feed_forward = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int context = 0;
  double eps = 0, rope_base = 10000;
  bool layer_norm = false;  // norms subtract the mean, and have biases
  std::string_view eps_field = "rms_norm_eps";
  double partial_rotary = 1;                      // share of each head that is rotated
  double window_rope_base = 0, query_scalar = 0;  // > 0: the file may have these fields
  int window = 0, window_period = 0;
  WindowRule window_rule = WindowRule::kAll;
  /// Fields of factors, 1 where a file leaves them out; empty: it has none.
  std::string_view attention_scale = {}, embedding_scale = {}, residual_scale = {},
                   logit_scale = {};
  std::span<const ModuleName> names = {};       // those that mean something else than in a llama
  std::span<const ModuleName> top_names = {};   // the same, outside of layers
  std::span<const ModuleName> parameters = {};  // whole names of tensors that are no module's
  std::string_view layer_prefix = "model.layers.";    // of the names of a layer's tensors
  std::span<const std::string_view> transposed = {};  // modules whose weights are [K, N]
  /// Ends of names of tensors without a use; with a dot behind them, beginnings.
  std::span<const std::string_view> ignored = {};
  std::span<const FieldName> fields = {};
  bool to_gguf = false;  // its folders are converted to GGUF files
  /// Reads what only this family has. Errors: kInvalidFile, kUnsupported naming the field.
  Result<void> (*read)(const HfFields& fields, ModelConfig& config) = nullptr;
};

/// Returns all that this build knows. Defined by models/families.
std::span<const HfFamily* const> hf_families();

}  // namespace pippin::store
