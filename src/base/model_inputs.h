// ModelInputs: what a model takes besides token ids, and gives besides tokens. Stated by the model,
// checked when a request is submitted. Thread: any.
#pragma once

namespace pippin {

struct ModelInputs {
  int position_components = 0;  // of a stated position; 0: positions cannot be stated
  bool both_ways = false;       // spans whose tokens see each other
  int embedding_width = 0;      // of media's embeddings in place of token ids; 0: no media
  bool encoded = false;         // an encoder's input
  bool pooling = false;         // a prompt's hidden states, pooled into an embedding
  bool operator==(const ModelInputs&) const = default;

  /// Returns what a model takes that takes everything.
  static constexpr ModelInputs all(int components) { return {components, true, 1, true, true}; }
};

}  // namespace pippin
