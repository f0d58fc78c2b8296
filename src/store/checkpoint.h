// Checkpoint: a model on disk, opened: the one thing that loaders read, whatever its format. A GGUF
// file, or a folder as transformers and mlx-lm save one (hf_folder.h). Weights go by GGUF's names.
// Owner: the loader; views borrow from it. Thread: const after open, so any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "store/generation_config.h"
#include "store/gguf.h"
#include "store/hf_folder.h"
#include "store/model_config.h"
#include "store/tensor.h"

namespace pippin::store {

class Checkpoint {
 public:
  /// Opens a GGUF file, a model's folder, or a .safetensors file, which means the folder it is in.
  /// Errors: of GgufFile::open() and HfFolder::open(). Cost: milliseconds; weights are mapped, not
  /// read.
  static Result<Checkpoint> open(const std::string& path);
  explicit Checkpoint(GgufFile file) : files_(std::move(file)) {}
  explicit Checkpoint(HfFolder folder) : files_(std::move(folder)) {}

  /// Has config() tell of linear RoPE scaling by that factor beyond what the files say, for a
  /// context that is longer by it. Requires: factor >= 1.
  void scale_rope(double factor) { rope_scale_ = factor; }
  /// Has config() tell with how long a context the model will be used. Units: tokens.
  void serve_context(int tokens) { served_context_ = tokens; }

  const std::string& path() const;
  uint64_t file_bytes() const;
  const std::vector<TensorView>& tensors() const;
  /// Returns the tensor of that name, or null.
  const TensorView* tensor(std::string_view name) const;
  /// Errors: of read_model_config(); kUnsupported, a kind of RoPE that is not scaled linearly.
  Result<ModelConfig> config() const;

  /// Returns the source of the chat template, empty without one. Errors: kInvalidFile.
  Result<std::string> chat_template() const;
  /// Errors: kInvalidFile, for a value that is no number.
  Result<GenerationConfig> generation_config() const;
  /// Returns the license's name, empty where the files do not say.
  std::string license() const;

  /// The format's own contents: one of the two, the other is null.
  const GgufFile* gguf() const { return std::get_if<GgufFile>(&files_); }
  const HfFolder* folder() const { return std::get_if<HfFolder>(&files_); }

 private:
  std::variant<GgufFile, HfFolder> files_;
  double rope_scale_ = 1;
  int served_context_ = 0;
};

/// Returns whether `path` is a folder or a .safetensors file, which is opened as its folder.
bool is_hf_path(const std::string& path);

}  // namespace pippin::store
