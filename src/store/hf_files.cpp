#include "store/hf_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>

#include "base/json_read.h"
#include "store/hf_folder.h"
#include "store/license.h"
#include "store/mapped_file.h"

namespace pippin::store {

namespace json = boost::json;

namespace {

constexpr size_t kTextBytesMax = size_t{256} << 20;  // a tokenizer.json has tens of MB

/// A token's text: itself, or the "content" of an object.
std::string token_text(const json::object& config, std::string_view key) {
  const json::object* object = object_in(config, key);
  return std::string(object != nullptr ? string_in(*object, "content") : string_in(config, key));
}

std::optional<bool> flag_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_bool()) return std::nullopt;
  return value->get_bool();
}

std::optional<double> number_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

/// Adds the id, or the ids, under a key.
void add_ids(const json::object& object, std::string_view key, std::vector<int64_t>& ids) {
  const json::value* value = object.if_contains(key);
  const auto add = [&](const json::value& id) {
    if (const int64_t* number = id.if_int64();
        number != nullptr && std::ranges::find(ids, *number) == ids.end())
      ids.push_back(*number);
  };
  if (const json::array* array = value != nullptr ? value->if_array() : nullptr) {
    for (const json::value& id : *array) add(id);
  } else if (value != nullptr) {
    add(*value);
  }
}

/// One template, or named ones: "default", and "tool_use" for conversations with tools.
std::string template_in(const json::object& object) {
  const json::array* named = array_in(object, "chat_template");
  if (named == nullptr) return std::string(string_in(object, "chat_template"));
  std::string plain, tools;
  for (const json::value& entry : *named) {
    const json::object* one = entry.if_object();
    if (one == nullptr) continue;
    const std::string_view name = string_in(*one, "name"), source = string_in(*one, "template");
    if (name == "default" || plain.empty()) plain = source;
    if (name == "tool_use") tools = source;
  }
  if (tools.empty() || tools == plain) return plain;
  return fmt::format("{{% if tools %}}{}{{% else %}}{}{{% endif %}}", tools, plain);
}

}  // namespace

Result<std::string> read_hf_text(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() > kTextBytesMax)
    return fail(Code::kInvalidFile,
                fmt::format("[store] {}: it is larger than {} bytes", path, kTextBytesMax), path);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<json::object> read_hf_json(const std::string& folder, const std::string& name) {
  const Result<std::string> text = read_hf_text(folder, name);
  if (text.ok()) return parse_object(*text, fmt::format("[store] {}/{}", folder, name));
  if (text.error().code == Code::kNotFound) return json::object();
  return text.error();
}

Result<HfTokenizerFiles> HfFolder::tokenizer() const {
  HfTokenizerFiles files;
  Result<std::string> text = read_hf_text(path_, "tokenizer.json");
  if (!text.ok() && text.error().code == Code::kNotFound)
    return fail(Code::kNotFound,
                fmt::format("[model] {} holds no tokenizer.json, which pippin needs; transformers "
                            "writes one from older files: AutoTokenizer.from_pretrained(..)"
                            ".save_pretrained(..)",
                            path_),
                "tokenizer.json");
  ASSIGN_OR_RETURN(files.json, std::move(text));
  ASSIGN_OR_RETURN(const json::object config, read_hf_json(path_, "tokenizer_config.json"));
  files.bos = token_text(config, "bos_token");
  files.eos = token_text(config, "eos_token");
  files.add_bos = flag_in(config, "add_bos_token");
  files.add_eos = flag_in(config, "add_eos_token");
  for (const char* name : {"generation_config.json", "config.json"}) {
    ASSIGN_OR_RETURN(const json::object object, read_hf_json(path_, name));
    add_ids(object, "eos_token_id", files.end_ids);
  }
  return files;
}

Result<std::string> HfFolder::chat_template() const {
  Result<std::string> jinja = read_hf_text(path_, "chat_template.jinja");
  if (jinja.ok() || jinja.error().code != Code::kNotFound) return jinja;
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    ASSIGN_OR_RETURN(const json::object object, read_hf_json(path_, name));
    std::string source = template_in(object);
    if (!source.empty()) return source;
  }
  return std::string();
}

Result<GenerationConfig> HfFolder::generation_config() const {
  ASSIGN_OR_RETURN(const json::object config, read_hf_json(path_, "generation_config.json"));
  GenerationConfig sampling;
  if (flag_in(config, "do_sample") == false) return sampling;
  sampling.temperature = number_in(config, "temperature");
  sampling.top_p = number_in(config, "top_p");
  sampling.min_p = number_in(config, "min_p");
  sampling.repetition_penalty = number_in(config, "repetition_penalty");
  if (const auto top_k = size_in(config, "top_k")) sampling.top_k = static_cast<int64_t>(*top_k);
  return sampling;
}

std::string HfFolder::license() const { return folder_license(path_); }

}  // namespace pippin::store
