#include "service/model_facts.h"

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

std::string metadata_json(const store::GgufFile& file, uint64_t parameters) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  for (const auto& [key, value] : file.metadata()) {
    // The template is told by itself; a count of the file's own would come twice.
    if (key == "tokenizer.chat_template" || key == "general.parameter_count") continue;
    json.key_text(key);
    write_value(json, value);
  }
  json.field("general.parameter_count", parameters);
  json.end_object();
  return out;
}

std::string tensors_json(const store::GgufFile& file) {
  std::string out;
  JsonWriter json(out);
  json.begin_array();
  for (const store::TensorView& tensor : file.tensors()) {
    json.begin_object().field("name", tensor.name).field("type", store::type_name(tensor.type));
    json.key("shape").begin_array();
    for (const int64_t size : tensor.shape) json.integer(size);
    json.end_array().end_object();
  }
  json.end_array();
  return out;
}

// What the file calls itself, else the type of most of its bytes.
std::string quantization_of(const store::GgufFile& file) {
  const Result<int64_t> number = file.integer("general.file_type");
  if (number.ok()) {
    const auto* known =
        std::ranges::find(kFileTypes, *number, [](const auto& row) { return row.first; });
    if (known != std::end(kFileTypes)) return std::string(known->second);
  }
  std::map<std::string_view, size_t> bytes;
  for (const store::TensorView& tensor : file.tensors())
    bytes[store::type_name(tensor.type)] += tensor.bytes.size();
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& row) { return row.second; });
  return most == bytes.end() ? "unknown" : std::string(most->first);
}

std::string text_of(const store::GgufFile& file, std::string_view key) {
  const Result<std::string_view> text = file.string(key);
  return text.ok() ? std::string(text->substr(0, kTextBytesMax)) : std::string();
}

}  // namespace

ModelFacts facts_of(const store::GgufFile& file) {
  ModelFacts facts;
  facts.path = file.path();
  facts.bytes = file.file_bytes();
  struct stat status {};
  if (stat(facts.path.c_str(), &status) == 0) facts.modified_unix_s = int64_t{status.st_mtime};
  for (const store::TensorView& tensor : file.tensors())
    facts.parameters += static_cast<uint64_t>(tensor.elements());
  facts.architecture = text_of(file, "general.architecture");
  facts.quantization = quantization_of(file);
  facts.license = text_of(file, "general.license");
  facts.metadata_json = metadata_json(file, facts.parameters);
  facts.tensors_json = tensors_json(file);
  return facts;
}

Result<ModelFacts> read_model_facts(const std::string& path) {
  ASSIGN_OR_RETURN(const store::GgufFile file, store::GgufFile::open(path));
  return facts_of(file);
}

std::string short_count(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f}M", number / 1e6);
  return count >= 1'000 ? fmt::format("{:.1f}K", number / 1e3) : fmt::format("{}", count);
}

}  // namespace pippin::service
