// ModelConfig: the hyperparameters of a text model, read from a GGUF file's metadata (here) or from
// a config.json (hf_config.h), and checked.
// A plain struct; thread: any. What a key means for one architecture is that model's business;
// tokenizer keys are read by the tokenizer's loader.
// Source: the key names of the GGUF specification and of llama.cpp's src/llama-arch.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/gguf.h"

namespace pippin::store {

enum class NormKind : uint8_t { kRms, kLayer };
enum class RopeScaling : uint8_t { kNone, kLinear, kYarn, kLongRope };

/// Rotary embedding. The divisors that a GGUF file may hold as rope_freqs.weight are the model's
/// business.
struct RopeConfig {
  int dims = 0;         // rotated dims of each head, even; 0: none
  int dims_window = 0;  // of layers with a sliding window; 0: the file does not say
  double freq_base = 10000;
  double freq_base_window = 0;  // of layers with a sliding window; 0: the file does not say
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;         // > 1 stretches the context; 1 when scaling is kNone
  int original_context = 0;  // tokens before the stretch; the file's silence means context_length
  double attention_factor = 1;  // multiplies the magnitude (YaRN, LongRoPE)
  double yarn_beta_fast = 32, yarn_beta_slow = 1, yarn_log_multiplier = 0;
  bool finetuned = false;     // the model was trained further after the stretch
  bool yarn_truncate = true;  // YaRN's borders between fast and slow pairs are whole numbers
  /// [dims / 2] or empty: what each pair's frequency is divided by (Llama 3.1), where it is
  /// computed; LongRoPE has two sets, for contexts up to the original one and beyond.
  std::vector<float> divisors, short_divisors, long_divisors;
  std::vector<bool> layers;  // [L] or empty: layers whose heads are rotated
};

/// How a router's logits become weights of experts, by GGUF's numbers.
enum class ExpertGating : uint8_t { kUnsaid = 0, kSoftmax = 1, kSigmoid = 2, kSelectedSoftmax = 3 };

/// Mixture of experts. All zero in a dense model.
struct ExpertConfig {
  int count = 0, used = 0;  // used <= count
  int shared = 0;           // experts that every token passes
  int feed_forward = 0, shared_feed_forward = 0;
  int leading_dense_layers = 0;     // layers without experts at the start
  int groups = 0, groups_used = 0;  // experts are chosen from the best groups; 0: one group
  ExpertGating gating = ExpertGating::kUnsaid;
  std::optional<bool>
      normalise;             // weights are divided by their sum; nothing: the file does not say
  float scale = 0;           // of the weights, last; 0: the file does not say
  bool shared_mean = false;  // the mean of chosen and shared experts is taken, not the sum
  std::optional<float> closeness;  // of Phi MoE's router; nothing: the file does not say
};

/// Layers that fold what they have seen into a state: Mamba, delta nets, short convolutions. All
/// zero in a model without any.
struct RecurrentConfig {
  int conv_taps = 0;        // inputs that an output of the convolution sees
  int inner = 0;            // width of what the recurrence takes in
  int state = 0;            // rows of a head's matrix; Mamba 1: of a channel's state
  int groups = 0;           // of heads that share B and C; delta nets: heads of q and k
  int time_step_rank = 0;   // heads; Mamba 1: rank of the step sizes' projection
  bool step_norms = false;  // Mamba 1: step sizes, B and C are normed where the file has no weights
  float step_norm_eps = 0;  // of these; 0: as of other norms
  float time_step_min = 0;  // Mamba 2: bounds of step sizes
  float time_step_max = std::numeric_limits<float>::infinity();
  std::vector<bool> layers;  // [L] or empty: which layers are recurrent

  bool norm_before_gate = false;  // Mamba 2: outputs are normed, then gated; else the other way
  bool any() const { return conv_taps > 0; }
};

/// What a model multiplies by, which converters to GGUF fold into weights (Falcon-H1).
struct Multipliers {
  float attention_in = 1, attention_out = 1, keys = 1;
  float feed_forward_gate = 1, feed_forward_out = 1;
  float recurrent_in = 1, recurrent_out = 1;
  /// Of the recurrence's gate, x, B, C and step sizes.
  std::array<float, 5> recurrent_parts = {1, 1, 1, 1, 1};
};

/// What chooses the positions that attention covers (DeepSeek 3.2). All zero where all are.
struct IndexConfig {
  int heads = 0, dim = 0;  // of its queries; it has one key for each position
  int top = 0;             // positions that attention covers, at most
  /// [L] or empty: whether a layer has one. Another covers what the last one before it chose (GLM
  /// 5.2). Empty: all have.
  std::vector<bool> layers;

  bool in_layer(int i) const { return layers.empty() || layers[static_cast<size_t>(i)]; }
};

/// Compressed keys and values (MLA). All zero where there are none.
struct LatentConfig {
  int rank = 0;              // compressed values of a position
  int query_rank = 0;        // of queries; 0: they are not compressed
  int plain = 0, value = 0;  // values of a head's key that are not turned; of a head's value
  IndexConfig index;
};

/// A learned curve of a feed-forward layer's activation (Apertus); alphas are softplus's inputs.
struct XieluConfig {
  float alpha_p = 0, alpha_n = 0, beta = 0.5f, eps = -1e-6f;
};

/// Residual streams side by side, of which each layer computes one (Gemma 3n). All zero where there
/// is one stream.
struct StreamConfig {
  int count = 0, active = 0;  // active < count
  int laurel_rank = 0;        // of the learned residual beside attention
};

/// How the numbers of weights are kept, where converters change them: GGUF files have the rows of a
/// llama's q and k in the order of interleaved pairs, and one added to Gemma's norms.
enum class WeightLayout : uint8_t { kGguf, kHuggingFace };

struct ModelConfig {
  std::string path;          // of the file, for messages
  std::string architecture;  // as GGUF has it in general.architecture: "llama"
  std::string name;          // general.name; empty where absent or not printable UTF-8

  int vocab_size = 0;        // V: rows of token_embd.weight
  int context_length = 0;    // tokens that the model was made for
  int embedding_length = 0;  // E
  int layers = 0;            // L
  /// [L] F; zeros only where all feed-forward is by experts, and in recurrent models where a layer
  /// has none.
  std::vector<int> feed_forward;
  /// [L] H, and K, which divides H; zeros only in recurrent models, where a layer has no attention.
  std::vector<int> heads, kv_heads;
  int head_dim_k = 0;        // D of queries and keys
  int head_dim_v = 0;        // D of values
  int head_dim_window = 0;   // D of both in layers with a sliding window; 0: the same
  int shared_kv_layers = 0;  // the last layers take keys and values of earlier ones (Gemma 3n, 4)

  NormKind norm = NormKind::kRms;
  float norm_eps = 0;
  RopeConfig rope;

  int sliding_window = 0;  // tokens that a windowed layer sees; 0: none
  int window_period = 0;   // n: every n-th layer sees everything; 0: the file does not say
  std::vector<bool> windowed_layers;  // [L] or empty: the file does not say

  float attention_scale = 0;  // of the scores; 0: the file does not say
  int chunk = 0;              // tokens of a chunk, beyond which windowed layers do not see; 0: none
  bool plain_qk_norm = false;  // rotated q and k are normed, without weights (Llama 4)
  /// Queries at position p are multiplied by 1 + b ln(1 + floor((p + o) / n)); b = 0: not at all.
  float query_scale_beta = 0;
  int query_scale_positions = 0, query_scale_offset = 0;
  float attention_soft_cap = 0;                                    // 0: none
  float logit_soft_cap = 0;                                        // 0: none
  float logit_scale = 0, residual_scale = 0, embedding_scale = 0;  // 0: the file does not say

  /// Positions that the model will be used with; 0: up to context_length. LongRoPE depends on it.
  int served_context = 0;

  int layer_input = 0, layer_input_vocab = 0;  // values that tokens give to each layer; 0: none

  std::optional<bool> parallel_residual;  // attention beside feed-forward; nothing: unsaid

  ExpertConfig experts;
  RecurrentConfig recurrent;
  Multipliers multipliers;
  LatentConfig latent;
  StreamConfig streams;
  /// [L] or empty: only values of a gate that lie so many standard deviations above their mean
  /// count, less that; infinitely few: all.
  std::vector<float> gate_deviations;
  std::vector<XieluConfig> xielu;  // [L], or empty: the file has tensors of it, or none
  WeightLayout layout = WeightLayout::kGguf;
  bool tied_output = false;  // no output.weight: the head is token_embd.weight
};

/// Reads and checks the hyperparameters. Errors: kInvalidFile naming the key, for one that is
/// missing, of another kind or out of bounds; kUnsupported for one file of a split model, and for
/// an unknown kind of rope scaling.
Result<ModelConfig> read_model_config(const GgufFile& file);

}  // namespace pippin::store
