#include "store/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "store/config_limits.h"

namespace pippin::store {
namespace {

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Result<std::optional<double>> number_at(const GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::optional<double>();
  ASSIGN_OR_RETURN(const double number, file.number(key));
  return std::optional(number);
}

Result<GenerationConfig> sampling_of(const GgufFile& file) {
  GenerationConfig sampling;
  ASSIGN_OR_RETURN(sampling.temperature, number_at(file, "general.sampling.temp"));
  ASSIGN_OR_RETURN(sampling.top_p, number_at(file, "general.sampling.top_p"));
  ASSIGN_OR_RETURN(sampling.min_p, number_at(file, "general.sampling.min_p"));
  ASSIGN_OR_RETURN(sampling.repetition_penalty, number_at(file, "general.sampling.penalty_repeat"));
  if (file.find("general.sampling.top_k") != nullptr) {
    ASSIGN_OR_RETURN(sampling.top_k, file.integer("general.sampling.top_k"));
  }
  return sampling;
}

Result<std::string> text_at(const GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::string();
  ASSIGN_OR_RETURN(const std::string_view text, file.string(key));
  return std::string(text);
}

}  // namespace

bool is_hf_path(const std::string& path) {
  return path.ends_with(".safetensors") || is_folder(path);
}

Result<Checkpoint> Checkpoint::open(const std::string& path) {
  if (!is_hf_path(path)) {
    ASSIGN_OR_RETURN(GgufFile file, GgufFile::open(path));
    return Checkpoint(std::move(file));
  }
  const size_t slash = path.rfind('/');
  const std::string folder = is_folder(path)              ? path
                             : slash == std::string::npos ? "."
                                                          : path.substr(0, slash);
  ASSIGN_OR_RETURN(HfFolder opened, HfFolder::open(folder));
  return Checkpoint(std::move(opened));
}

const std::string& Checkpoint::path() const {
  return std::visit([](const auto& files) -> const std::string& { return files.path(); }, files_);
}

uint64_t Checkpoint::file_bytes() const {
  return std::visit([](const auto& files) { return files.file_bytes(); }, files_);
}

const std::vector<TensorView>& Checkpoint::tensors() const {
  return std::visit(
      [](const auto& files) -> const std::vector<TensorView>& { return files.tensors(); }, files_);
}

const TensorView* Checkpoint::tensor(std::string_view name) const {
  return std::visit([&](const auto& files) { return files.tensor(name); }, files_);
}

Result<ModelConfig> Checkpoint::config() const {
  ASSIGN_OR_RETURN(ModelConfig config,
                   folder() != nullptr ? folder()->config() : read_model_config(*gguf()));
  config.served_context = served_context_;
  if (rope_scale_ <= 1) return config;
  RopeConfig& rope = config.rope;
  if (rope.scaling != RopeScaling::kNone && rope.scaling != RopeScaling::kLinear)
    return fail(Code::kUnsupported,
                "[store] " + path() + ": --rope-scale stretches a model without YaRN or LongRoPE",
                "--rope-scale");
  rope.factor = rope_scale_ * (rope.scaling == RopeScaling::kLinear ? rope.factor : 1);
  rope.scaling = RopeScaling::kLinear;
  config.context_length = static_cast<int>(
      std::min(config.context_length * rope_scale_, static_cast<double>(kContextMax)));
  return config;
}

Result<std::string> Checkpoint::chat_template() const {
  if (const HfFolder* hf = folder()) return hf->chat_template();
  return text_at(*gguf(), "tokenizer.chat_template");
}

Result<GenerationConfig> Checkpoint::generation_config() const {
  if (const HfFolder* hf = folder()) return hf->generation_config();
  return sampling_of(*gguf());
}

std::string Checkpoint::license() const {
  if (const HfFolder* hf = folder()) return hf->license();
  // A license of no known name is "other", and has its own beside it.
  const Result<std::string_view> known = gguf()->string("general.license");
  const Result<std::string_view> name = gguf()->string("general.license.name");
  const bool has_own = name.ok() && !name->empty();
  if (has_own && (!known.ok() || known->empty() || *known == "other")) return std::string(*name);
  return known.ok() ? std::string(*known) : std::string();
}

}  // namespace pippin::store
