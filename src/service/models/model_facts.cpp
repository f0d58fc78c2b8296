#include "service/models/model_facts.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <variant>

#include "service/json.h"
#include "store/folder_glance.h"
#include "store/license.h"
#include "store/tensor_name.h"

namespace pippin::service {
namespace {

constexpr size_t kTextBytesMax = 64 << 10;

/// The numbers of general.file_type. Source: llama.cpp's enum llama_ftype.
constexpr std::pair<int64_t, std::string_view> kFileTypes[] = {
    {0, "F32"},      {1, "F16"},      {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
    {8, "Q5_0"},     {9, "Q5_1"},     {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
    {13, "Q3_K_L"},  {14, "Q4_K_S"},  {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
    {18, "Q6_K"},    {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"},
    {23, "IQ3_XXS"}, {24, "IQ1_S"},   {25, "IQ4_NL"}, {26, "IQ3_S"},  {27, "IQ3_M"},
    {28, "IQ2_S"},   {29, "IQ2_M"},   {30, "IQ4_XS"}, {31, "IQ1_M"},  {32, "BF16"},
    {36, "TQ1_0"},   {37, "TQ2_0"},   {38, "MXFP4"},
};

void write_value(JsonWriter& json, const store::GgufValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    json.integer(*integer);
  } else if (const auto* large = std::get_if<uint64_t>(&value)) {
    json.integer(*large);
  } else if (const auto* number = std::get_if<double>(&value)) {
    json.number(*number);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    json.boolean(*flag);
  } else if (const auto* text = std::get_if<std::string_view>(&value)) {
    json.string(text->substr(0, kTextBytesMax));
  } else {
    json.null();
  }
}

void write_metadata(JsonWriter& json, const store::GgufFile& file) {
  for (const auto& [key, value] : file.metadata()) {
    // The template is told by itself; a count of the file's own would come twice.
    if (key == "tokenizer.chat_template" || key == "general.parameter_count") continue;
    json.key_text(key);
    write_value(json, value);
  }
}

// What a GGUF file of the same model would say of its sizes.
void write_metadata(JsonWriter& json, const store::ModelConfig& config) {
  const auto number = [&](std::string_view name, int value) {
    json.key_text(config.architecture + "." + std::string(name)).integer(int64_t{value});
  };
  json.field("general.architecture", config.architecture);
  json.field("general.name", config.name);
  number("block_count", config.layers);
  number("context_length", config.context_length);
  number("embedding_length", config.embedding_length);
  number("feed_forward_length", std::ranges::max(config.feed_forward));
  number("attention.head_count", std::ranges::max(config.heads));
  number("attention.head_count_kv", std::ranges::max(config.kv_heads));
  number("attention.key_length", config.head_dim_k);
  number("attention.value_length", config.head_dim_v);
  if (config.sliding_window > 0) number("attention.sliding_window", config.sliding_window);
  number("vocab_size", config.vocab_size);
  if (config.experts.count > 0) {
    number("expert_count", config.experts.count);
    number("expert_used_count", config.experts.used);
  }
  if (config.rope.dims > 0)
    json.key_text(config.architecture + ".rope.freq_base").number(config.rope.freq_base);
}

std::string metadata_json(const store::Checkpoint& checkpoint, uint64_t parameters) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  if (const store::HfFolder* folder = checkpoint.folder()) {
    write_metadata(json, folder->config());
  } else {
    write_metadata(json, *checkpoint.gguf());
  }
  json.field("general.parameter_count", parameters);
  json.end_object();
  return out;
}

std::string tensors_json(const store::Checkpoint& checkpoint) {
  std::string out;
  JsonWriter json(out);
  json.begin_array();
  for (const store::TensorView& tensor : checkpoint.tensors()) {
    json.begin_object()
        .field("name", tensor.name)
        .field("type", std::string(type_name(tensor.type)));
    json.key("shape").begin_array();
    for (const int64_t size : tensor.shape) json.integer(size);
    json.end_array().end_object();
  }
  json.end_array();
  return out;
}

// The type of most of the weights; MLX's as its models are named: "4-bit".
std::string main_type(const store::Checkpoint& checkpoint) {
  std::map<std::string, int64_t> weights;
  for (const store::TensorView& tensor : checkpoint.tensors()) {
    weights[is_affine(tensor.type) ? fmt::format("{}-bit", tensor_format(tensor.type).code_bits)
                                   : std::string(type_name(tensor.type))] += tensor.elements();
  }
  const auto most =
      std::ranges::max_element(weights, {}, [](const auto& row) { return row.second; });
  return most == weights.end() ? "unknown" : most->first;
}

// What the file calls itself, else the type of most of its weights.
std::string quantization_of(const store::Checkpoint& checkpoint) {
  const store::GgufFile* file = checkpoint.gguf();
  const Result<int64_t> number =
      file != nullptr ? file->integer("general.file_type") : Result<int64_t>(-1);
  const auto* known = std::ranges::find(kFileTypes, number.ok() ? *number : -1,
                                        [](const auto& row) { return row.first; });
  return known != std::end(kFileTypes) ? std::string(known->second) : main_type(checkpoint);
}

// "qwen2"; empty if the files do not say.
std::string architecture_of(const store::Checkpoint& checkpoint) {
  if (const store::HfFolder* folder = checkpoint.folder()) return folder->config().architecture;
  const Result<std::string_view> text = checkpoint.gguf()->string("general.architecture");
  return text.ok() ? std::string(text->substr(0, kTextBytesMax)) : std::string();
}

void count_parameters(const store::Checkpoint& checkpoint, ModelFacts& facts) {
  const auto experts = static_cast<uint64_t>(facts.experts);
  uint64_t idle = 0, apart = 0;  // of experts that a token does not pass; of experts by themselves
  for (const store::TensorView& tensor : checkpoint.tensors()) {
    const auto elements = static_cast<uint64_t>(tensor.elements());
    facts.parameters += elements;
    facts.weights_bytes += tensor.stored_bytes();
    if (experts == 0) continue;
    if (tensor.name.find("_exps.") != std::string::npos) {
      idle += elements / experts * static_cast<uint64_t>(facts.experts - facts.experts_used);
    } else if (store::expert_name(tensor.name).number >= 0) {
      apart += elements;
    }
  }
  if (experts > 0)
    idle += apart / experts * static_cast<uint64_t>(facts.experts - facts.experts_used);
  facts.active_parameters = facts.parameters - idle;
}

ContextFacts context_of(const store::ModelConfig& config) {
  const store::RopeConfig& rope = config.rope;
  ContextFacts context{config.context_length, config.context_length, {}, rope.factor};
  const bool is_shorter =
      rope.original_context > 0 && rope.original_context < config.context_length;
  if (is_shorter) context.trained_tokens = rope.original_context;
  switch (rope.scaling) {
    case store::RopeScaling::kNone:
      if (rope.divisors.empty()) return context;
      context.rope_scaling = "llama3";
      context.rope_factor = std::ranges::max(rope.divisors);
      break;
    case store::RopeScaling::kLinear:
      context.rope_scaling = "linear";
      if (!is_shorter && rope.factor > 1)
        context.trained_tokens = static_cast<int>(config.context_length / rope.factor);
      break;
    case store::RopeScaling::kYarn:
      context.rope_scaling = "yarn";
      break;
    case store::RopeScaling::kLongRope:
      context.rope_scaling = "longrope";
      context.rope_factor = static_cast<double>(context.tokens) / context.trained_tokens;
      break;
  }
  return context;
}

void add_config(const store::ModelConfig& config, ModelFacts& facts) {
  facts.layers = config.layers;
  facts.embedding = config.embedding_length;
  facts.vocab = config.vocab_size;
  facts.experts = config.experts.count;
  facts.experts_used = config.experts.used;
  facts.context = context_of(config);
}

// The texts of several files, with an empty line between them.
std::string joined(std::span<const std::string> files) {
  std::string text;
  for (const std::string& file : files) {
    if (!text.empty()) text += "\n\n";
    text += store::read_license_file(file);
  }
  return text.substr(0, store::kLicenseBytesMax);
}

ModelFacts facts_of_file(const std::string& path) {
  ModelFacts facts;
  facts.path = path;
  struct stat status {};
  if (stat(facts.path.c_str(), &status) == 0) facts.modified_unix_s = int64_t{status.st_mtime};
  return facts;
}

}  // namespace

double ModelFacts::bits_per_weight() const {
  if (parameters == 0) return 0;
  return static_cast<double>(weights_bytes) * 8 / static_cast<double>(parameters);
}

ModelFacts facts_of(const store::Checkpoint& checkpoint,
                    std::span<const std::string> license_files) {
  ModelFacts facts = facts_of_file(checkpoint.path());
  facts.bytes = checkpoint.file_bytes();
  if (const Result<store::ModelConfig> config = checkpoint.config(); config.ok())
    add_config(*config, facts);
  count_parameters(checkpoint, facts);
  if (checkpoint.folder() != nullptr) {
    facts.format = "safetensors";
    const store::FolderGlance glance = store::glance_at_config(facts.path);
    facts.sees = glance.sees;
    facts.quantization_method = glance.quantisation;
  }
  facts.architecture = architecture_of(checkpoint);
  facts.quantization = quantization_of(checkpoint);
  facts.license_text =
      license_files.empty() ? store::license_text(checkpoint) : joined(license_files);
  facts.license = checkpoint.license().substr(0, kTextBytesMax);
  if (facts.license.empty()) facts.license = store::license_heading(facts.license_text);
  facts.metadata_json = metadata_json(checkpoint, facts.parameters);
  facts.tensors_json = tensors_json(checkpoint);
  return facts;
}

ModelFacts facts_of_unread(const std::string& path, std::span<const std::string> license_files) {
  ModelFacts facts = facts_of_file(path);
  facts.license_text = joined(license_files);
  facts.license = store::license_heading(facts.license_text);
  if (!store::is_hf_path(path)) return facts;
  const store::FolderGlance glance = store::glance_at(path);
  facts.format = "safetensors";
  facts.architecture = glance.model_type;
  facts.quantization_method = glance.quantisation;
  facts.sees = glance.sees;
  facts.weights_bytes = glance.weights_bytes;
  facts.parameters = facts.active_parameters = glance.parameters;
  facts.license = store::folder_license(path);
  return facts;
}

std::string short_count(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f}M", number / 1e6);
  return count >= 1'000 ? fmt::format("{:.1f}K", number / 1e3) : fmt::format("{}", count);
}

}  // namespace pippin::service
