#include "api/ollama/describe.h"

#include <fmt/format.h>

#include <utility>

#include "api/ollama/names.h"
#include "service/models/model_facts.h"

namespace pippin::api::ollama {
namespace {

using service::JsonWriter;
using service::ModelInfo;

/// A parameter of Modelfiles that each model has a value of.
struct Default {
  std::string_view name;
  float engine::SamplingParams::*member;
};
constexpr Default kDefaults[] = {
    {"temperature", &engine::SamplingParams::temperature},
    {"top_p", &engine::SamplingParams::top_p},
    {"min_p", &engine::SamplingParams::min_p},
};

std::string quoted(std::string_view text) {
  return text.find_first_of("\"\n") == std::string_view::npos ? fmt::format("\"{}\"", text)
                                                              : fmt::format("\"\"\"{}\"\"\"", text);
}

std::string value_text(const boost::json::value& value) {
  if (const boost::json::string* text = value.if_string()) return quoted(*text);
  std::string out;
  JsonWriter(out).value(value);
  return out;
}

// Calls `visit` with the name and the text of each parameter; lists have a line for each entry.
template <typename Visit>
void each_parameter(const ModelInfo& model, const DerivedModel* made, Visit visit) {
  const auto set_above = [&](std::string_view name) {
    return made != nullptr && made->parameters.contains(name);
  };
  for (const Default& known : kDefaults) {
    if (!set_above(known.name))
      visit(known.name, fmt::format("{}", model.default_sampling.*known.member));
  }
  if (!set_above("top_k")) visit("top_k", fmt::format("{}", model.default_sampling.top_k));
  if (model.penalty_in_file && !set_above("repeat_penalty"))
    visit("repeat_penalty", fmt::format("{}", model.default_sampling.repetition_penalty));
  if (made == nullptr) return;
  for (const auto& [name, value] : made->parameters) {
    const boost::json::array* list = value.if_array();
    if (list == nullptr) {
      visit(name, value_text(value));
      continue;
    }
    for (const boost::json::value& entry : *list) visit(name, value_text(entry));
  }
}

std::string_view template_of(const ModelInfo& model, const DerivedModel* made) {
  if (made != nullptr && !made->template_text.empty()) return made->template_text;
  return model.chat_template ? std::string_view(model.chat_template->source()) : std::string_view();
}

}  // namespace

int64_t Listed::modified_unix_s() const {
  if (made != nullptr) return made->modified_unix_s;
  return model.facts.modified_unix_s != 0 ? model.facts.modified_unix_s : model.created_unix_s;
}

void write_details(JsonWriter& json, const Listed& listed) {
  const ModelInfo& model = listed.model;
  json.key("details").begin_object();
  json.field("parent_model", listed.made != nullptr ? listed.made->from : std::string());
  json.field("format", model.facts.format).field("family", model.architecture);
  json.key("families").begin_array().string(model.architecture).end_array();
  json.field("parameter_size", service::short_count(model.facts.parameters));
  json.field("quantization_level", model.facts.quantization).end_object();
}

void write_identity(JsonWriter& json, const Listed& listed, uint64_t bytes) {
  const ModelInfo& model = listed.model;
  json.field("name", listed.name).field("model", listed.name);
  json.field("size", bytes);
  json.field("digest", sha256_hex(fmt::format("{} {} {} {}", listed.name, model.facts.path,
                                              model.facts.bytes, listed.modified_unix_s())));
  write_details(json, listed);
}

std::string parameters_text(const ModelInfo& model, const DerivedModel* made) {
  std::string lines;
  each_parameter(model, made, [&](std::string_view name, const std::string& value) {
    if (!lines.empty()) lines += '\n';
    lines += fmt::format("{:<30} {}", name, value);
  });
  return lines;
}

std::string modelfile_text(const Listed& listed, const DerivedModel* made) {
  const std::string& path = listed.model.facts.path;
  std::string text =
      fmt::format("# Made by \"ollama show\"\n# FROM {}\n\nFROM {}\n", listed.name,
                  made != nullptr ? made->from : (path.empty() ? listed.name : path));
  text += fmt::format("TEMPLATE \"\"\"{}\"\"\"\n", template_of(listed.model, made));
  if (made != nullptr && !made->system.empty())
    text += fmt::format("SYSTEM {}\n", quoted(made->system));
  each_parameter(listed.model, made, [&](std::string_view name, const std::string& value) {
    text += fmt::format("PARAMETER {} {}\n", name, value);
  });
  return text;
}

}  // namespace pippin::api::ollama
