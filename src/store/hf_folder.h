// HfFolder: a folder as transformers and mlx-lm save a model: config.json, weights as safetensors,
// and the files of the tokenizer. Weights are known by the names that GGUF files give them.
// Owner: the loader; views borrow from it. Thread: const after open, so any.
// Source: transformers' save_pretrained(); mlx-lm's save_model() for quantised weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/generation_config.h"
#include "store/hf_family.h"
#include "store/model_config.h"
#include "store/name_index.h"
#include "store/safetensors.h"
#include "store/tensor.h"

namespace pippin::store {

/// What the folder says of its tokenizer.
struct HfTokenizerFiles {
  std::string json;      // tokenizer.json's bytes
  std::string bos, eos;  // texts of tokens; empty: the folder does not say
  /// Whether a text gets them; nothing: as tokenizer.json has it.
  std::optional<bool> add_bos, add_eos;
  std::vector<int64_t> end_ids;  // each ends an answer
};

class HfFolder {
 public:
  /// Opens a folder; all its weights are mapped and checked. Errors: of SafetensorsFile::open() and
  /// read_hf_config(); kNotFound without weights or config.json; kInvalidFile, naming a tensor that
  /// is missing, of a wrong kind, or no part of such a model.
  static Result<HfFolder> open(const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t file_bytes() const;  // of the weights' files
  const ModelConfig& config() const { return config_; }
  const HfFamily& family() const { return *family_; }
  /// The paths of config.json and of the weights' files.
  std::vector<std::string> source_files() const;
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* tensor(std::string_view name) const;

  /// Errors: kNotFound without a tokenizer.json; kInvalidFile.
  Result<HfTokenizerFiles> tokenizer() const;
  /// Returns the source of the chat template, empty without one. Where there is another one for
  /// tools, the source holds both. Errors: kInvalidFile.
  Result<std::string> chat_template() const;
  Result<GenerationConfig> generation_config() const;
  /// The license of the folder's README.md, empty where it does not say.
  std::string license() const;

 private:
  HfFolder() = default;

  std::string path_;
  ModelConfig config_;
  const HfFamily* family_ = nullptr;
  std::vector<SafetensorsFile> files_;
  std::vector<TensorView> tensors_;
  NameIndex names_;
};

/// Returns the files of weights in a folder, by name, in order: of the index, or the one there is.
/// Errors: kNotFound, saying what was looked for; kInvalidFile.
Result<std::vector<std::string>> hf_weight_files(const std::string& folder);

}  // namespace pippin::store
