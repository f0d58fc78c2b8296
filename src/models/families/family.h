// Family: a kind of text model, all that tells it from the others: its name in GGUF files, how the
// decoder computes it, and how Hugging Face's files say it. Each is one file of constants here, and
// one row in table.cpp. Thread: any.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "nn/types/gate.h"
#include "nn/types/router.h"
#include "store/hf_family.h"
#include "store/model_config.h"

namespace pippin::models {

/// What mixes the tokens of a sequence in a layer.
enum class MixerKind : uint8_t {
  kNone,
  kAttention,
  kLatent,  // attention over compressed keys and values
  kShortConv,
  kDeltaNet,
  kMamba,
  kMamba2,
  kAttentionAndMamba2,  // side by side
};

/// How a mixture of experts chooses and weighs them, where the file does not say.
struct MoeOptions {
  nn::RouterScores scores = nn::RouterScores::kSoftmax;
  bool normalise = false;      // weights are divided by their sum
  bool group_by_best = false;  // a group of experts is as good as its best one, not its best two
  bool weigh_inputs = false;   // weights multiply what experts take (Llama 4)
  float closeness = 0;         // of kSparseMixer
};

/// How a decoder computes a family. Sizes come from the file's ModelConfig.
struct DecoderOptions {
  bool rope_interleaved = false;  // pairs (2i, 2i + 1): a llama's weights as GGUF permutes them
  bool rope_pairs = false;        // pairs (2i, 2i + 1) in every format (Cohere, GLM 4, Ernie)
  int rope_skip_period = 0;       // > 0: every n-th layer has no rope (SmolLM 3)
  /// Layers that see all positions have no rope, where others have a window (Cohere 2, EXAONE 4).
  bool rope_windows_only = false;
  bool rope_windows_unscaled = false;  // scaling is for layers without a window (Gemma 3, OLMo 3)
  bool qk_norm = false;                // RMS norm of each head of q and k (Qwen 3, Gemma 3)
  bool qk_norm_if_there = false;       // the same, of files that have weights for it (GLM 4.5)
  bool wide_qk_norm = false;           // RMS norm of q, and of k, over all heads (OLMo 2)
  bool norm_after_rope = false;        // q and k are normed behind their rotation (Hunyuan)
  bool scale_unrotated = false;  // queries grow with their position without rope only (Llama 4)
  bool pre_norms = true;         // norms before attention and feed-forward
  /// Attention and feed-forward take the same stream, and both are added to it (Cohere, Phi 2).
  bool parallel = false;
  bool parallel_by_norm = false;  // the same, of files without norms before feed-forward (StableLM)
  bool norm_weights = true;       // norms have weights (not in OLMo 1)
  bool post_norms = false;        // norms behind them, before the residual add (Gemma, OLMo 2)
  float norm_offset = 0;          // added to the weights of norms (Gemma, where GGUF has not yet)
  bool scale_embedding = false;   // embeddings times sqrt(E) (Gemma)
  /// The configuration's factors of embeddings, residuals and logits count; logits are divided by
  /// theirs (Granite). Elsewhere a file that has one is refused.
  bool scales = false;
  bool logit_multiplier = false;   // the configuration's logit_scale multiplies logits (Cohere)
  bool learned_positions = false;  // a table of positions is added to embeddings (GPT-2)
  nn::Gate gate = nn::Gate::kSilu;
  bool gated = true;                                // the feed-forward layer has a gate
  bool xielu = false;                               // or a learned activation (Apertus)
  std::string_view feed_forward_norm = "ffn_norm";  // GGUF's name of the norm before it
  std::optional<MoeOptions> experts = {};           // nothing: a file with experts is refused
  std::string_view final_norm = "output_norm";      // and of the last one
  MixerKind recurrence = MixerKind::kNone;  // of layers that the configuration calls recurrent
  bool keys_tiled = false;        // delta nets: head h takes keys h % K, as GGUF reorders them
  bool beside_attention = false;  // every layer has a recurrence beside its attention (Falcon-H1)
  bool value_norm = false;        // heads of values are normed, without weights (Gemma 3n, 4)
  bool keys_as_values = false;    // so are layers without a projection of values (Gemma 4)
  bool dense_beside_experts = false;  // both, with norms of their own (Gemma 4)
  bool layer_scales = false;          // what a layer gives may have a factor of its own (Gemma 4)
  float latent_norm_eps = 0;      // of norms of compressed keys and queries; 0: as of other norms
  bool indexer = false;           // attention covers the positions that one chooses (DeepSeek 3.2)
  bool index_rope_pairs = false;  // whose queries and keys turn in pairs (2i, 2i + 1) (GLM 5)
  bool output_gate = false;    // attention: queries come with a gate of the outputs (Qwen 3 Next)
  int window_period = 0;       // > 0: every n-th layer sees all positions, where the file does not
                               // say (Gemma 3)
  float window_rope_base = 0;  // > 0: rope base of the windowed layers
};

/// What tells a family's chat template to think.
enum class ThinkingSwitch : uint8_t {
  kNone,            // its models do not think
  kAlways,          // those that think always do
  kEnableThinking,  // its variable of this name, a bool, as the two below
  kThinking,
  kEffort,  // `reasoning_effort`: low, medium or high
  kBudget,  // `thinking_budget`: tokens
};

struct Family {
  std::string_view architecture;  // GGUF's general.architecture
  std::string_view models;        // that are built so, for a reader
  DecoderOptions options;
  std::span<const store::HfFamily> hf;
  /// Says what a GGUF file of this architecture leaves unsaid.
  void (*complete)(store::ModelConfig& config) = nullptr;
  ThinkingSwitch thinking = ThinkingSwitch::kNone;
};

/// Returns all families that this build knows.
std::span<const Family* const> families();

}  // namespace pippin::models
