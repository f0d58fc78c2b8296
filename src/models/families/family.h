// Family: a kind of text model, all that tells it from the others: its name in GGUF files, how the
// decoder computes it, and how Hugging Face's files say it. Each is one file of constants here, and
// one row in table.cpp. Thread: any.
#pragma once

#include <span>
#include <string_view>

#include "nn/types/gate.h"
#include "store/hf_family.h"

namespace pippin::models {

/// What mixes the tokens of a sequence in a layer.
enum class MixerKind : uint8_t { kNone, kAttention };

/// How a decoder computes a family. Sizes come from the file's ModelConfig.
struct DecoderOptions {
  bool rope_interleaved = false;  // pairs (2i, 2i + 1): a llama's weights as GGUF permutes them
  bool qk_norm = false;           // RMS norm of each head of q and k (Qwen 3, Gemma 3)
  bool wide_qk_norm = false;      // RMS norm of q, and of k, over all heads (OLMo 2)
  bool norm_after_rope = false;   // q and k are normed behind their rotation (Hunyuan)
  bool pre_norms = true;          // norms before attention and feed-forward
  /// Attention and feed-forward take the same stream, and both are added to it (Cohere, Phi 2).
  bool parallel = false;
  bool post_norms = false;       // norms behind them, before the residual add (Gemma, OLMo 2)
  float norm_offset = 0;         // added to the weights of norms (Gemma, where GGUF has not yet)
  bool scale_embedding = false;  // embeddings times sqrt(E) (Gemma)
  /// The configuration's factors of embeddings, residuals and logits count; logits are divided by
  /// theirs (Granite). Elsewhere a file that has one is refused.
  bool scales = false;
  nn::Gate gate = nn::Gate::kSilu;
  bool gated = true;           // the feed-forward layer has a gate
  int window_period = 0;       // > 0: every n-th layer sees all positions, where the file does not
                               // say (Gemma 3)
  float window_rope_base = 0;  // > 0: rope base of the windowed layers
};

struct Family {
  std::string_view architecture;  // GGUF's general.architecture
  DecoderOptions options;
  std::span<const store::HfFamily> hf;
};

/// Returns all families that this build knows.
std::span<const Family* const> families();

}  // namespace pippin::models
