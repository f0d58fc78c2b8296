#include "service/models/model_facts.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <variant>

#include "service/json.h"

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

}  // namespace

ModelFacts facts_of(const store::Checkpoint& checkpoint) {
  ModelFacts facts;
  facts.path = checkpoint.path();
  facts.bytes = checkpoint.file_bytes();
  struct stat status {};
  if (stat(facts.path.c_str(), &status) == 0) facts.modified_unix_s = int64_t{status.st_mtime};
  for (const store::TensorView& tensor : checkpoint.tensors())
    facts.parameters += static_cast<uint64_t>(tensor.elements());
  facts.architecture = architecture_of(checkpoint);
  facts.quantization = quantization_of(checkpoint);
  facts.license = checkpoint.license().substr(0, kTextBytesMax);
  facts.metadata_json = metadata_json(checkpoint, facts.parameters);
  facts.tensors_json = tensors_json(checkpoint);
  return facts;
}

Result<ModelFacts> read_model_facts(const std::string& path) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, store::Checkpoint::open(path));
  return facts_of(checkpoint);
}

std::string short_count(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f}M", number / 1e6);
  return count >= 1'000 ? fmt::format("{:.1f}K", number / 1e3) : fmt::format("{}", count);
}

}  // namespace pippin::service
