#include "app/shown_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/model_output.h"
#include "app/terminal.h"
#include "base/size_text.h"
#include "service/chat/template_abilities.h"

namespace pippin::app {
namespace {

using service::KvGroupFacts;
using service::ModelFacts;
using service::ModelInfo;
using service::TemplateAbilities;
using Rows = std::vector<std::vector<std::string>>;

/// Collects rows; what is not known has none.
class RowWriter {
 public:
  void add(const char* what, const std::string& value) {
    if (value.empty()) return;
    std::string line = printable(value);
    std::ranges::replace(line, '\n', ' ');
    rows_.push_back({what, std::move(line)});
  }
  void add_count(const char* what, int count) {
    if (count > 0) add(what, fmt::to_string(count));
  }
  Rows take() { return std::move(rows_); }

 private:
  Rows rows_;
};

std::string parameters_text(const ModelFacts& facts) {
  if (facts.parameters == 0) return {};
  std::string text = service::short_count(facts.parameters);
  if (facts.experts > 0)
    text += fmt::format(", of which a token passes {} ({} of {} experts)",
                        service::short_count(facts.active_parameters), facts.experts_used,
                        facts.experts);
  return text;
}

std::string quant_text(const hub::LocalModel& model, const ModelFacts& facts) {
  const std::string& quant = model.quant.empty() ? facts.quantization : model.quant;
  if (facts.quantization_method.empty()) return quant;
  return quant.empty() ? facts.quantization_method
                       : fmt::format("{} ({})", quant, facts.quantization_method);
}

std::string context_text(const service::ContextFacts& context) {
  if (context.tokens <= 0) return {};
  std::string text = fmt::format("{} tokens", context.tokens);
  if (context.rope_scaling.empty()) return text;
  if (context.trained_tokens < context.tokens)
    text += fmt::format(", extended from {}", context.trained_tokens);
  return text + fmt::format(" by rope scaling {}, factor {:.4g}", context.rope_scaling,
                            context.rope_factor);
}

std::string group_text(const KvGroupFacts& group) {
  const std::string layers = fmt::format("{} layers", group.layers);
  if (group.bytes_per_token == 0)
    return fmt::format("{}, state: {} a sequence", layers,
                       service::bytes_text(static_cast<uint64_t>(group.bytes_per_sequence)));
  const std::string each =
      service::bytes_text(static_cast<uint64_t>(group.bytes_per_token)) + " a token";
  if (group.latent_values > 0)
    return fmt::format("{}, MLA, {} values each: {}", layers, group.latent_values, each);
  if (group.kind == "chunked")
    return fmt::format("{}, chunks of {} tokens: {}", layers, group.window, each);
  return group.window > 0 ? fmt::format("{}, window of {} tokens: {}", layers, group.window, each)
                          : fmt::format("{}, full attention: {}", layers, each);
}

std::string parser_text(std::string_view name) { return fmt::format("; parser {}", name); }

std::string tools_text(const ModelInfo& info, const TemplateAbilities& abilities) {
  if (!info.calls_tools()) return "no";
  return std::string(abilities.tools() ? "yes" : "yes, told in the system message") +
         parser_text(info.tool_dialect->name);
}

std::string thinking_text(const ModelInfo& info, const TemplateAbilities& abilities) {
  if (!info.thinks()) return "no";
  const std::vector<std::string_view> variables = abilities.thinking_variables();
  const std::string set =
      variables.empty() ? "yes, always" : fmt::format("yes, set by {}", fmt::join(variables, ", "));
  return set + parser_text(info.reasoning_dialect->name);
}

void add_template(const ModelInfo& info, RowWriter& rows) {
  if (info.chat_template == nullptr) {
    rows.add("template", "none: there is no chat");
    return;
  }
  const TemplateAbilities abilities(info.chat_template->source());
  rows.add("tools", tools_text(info, abilities));
  rows.add("thinking", thinking_text(info, abilities));
  if (info.thinks())
    rows.add("effort", abilities.effort() ? "low, medium, high" : "a limit of tokens");
  rows.add("system role", abilities.system() ? "yes" : "no: it joins the user's first message");
  if (info.facts.sees || abilities.images()) rows.add("vision", "not served yet; text only");
}

std::string sampling_text(const service::ModelDescription& described) {
  std::vector<std::string> file, ours;
  for (const SamplingDefault& option : sampling_defaults_of(described))
    (option.in_file ? file : ours).push_back(fmt::format("{} {:.4g}", option.name, option.value));
  std::string text = fmt::format("{}", fmt::join(ours, ", "));
  if (file.empty()) return text;
  if (!ours.empty()) text = "; else " + text;
  return fmt::format("the model's own {}{}", fmt::join(file, ", "), text);
}

const char* yes_or_no(bool yes) { return yes ? "yes" : "no"; }

}  // namespace

std::vector<SamplingDefault> sampling_defaults_of(const service::ModelDescription& described) {
  const engine::SamplingParams& used = described.info.default_sampling;
  const store::GenerationConfig& file = described.generation;
  const auto row = [](std::string_view name, float value, const std::optional<double>& said) {
    return SamplingDefault{name, value, false, said && static_cast<float>(*said) == value};
  };
  std::vector<SamplingDefault> options = {
      row("temperature", used.temperature, file.temperature),
      row("top_p", used.top_p, file.top_p),
      row("min_p", used.min_p, file.min_p),
      {"top_k", static_cast<double>(used.top_k), true, file.top_k && *file.top_k == used.top_k},
  };
  if (described.info.penalty_in_file)
    options.push_back(row("repetition_penalty", used.repetition_penalty, file.repetition_penalty));
  return options;
}

std::vector<KvGroupFacts> ShownModel::groups() const {
  if (!described.sizing) return {};
  return service::kv_group_facts(described.sizing->needs);
}

Rows ShownModel::rows() const {
  const ModelInfo& info = described.info;
  const ModelFacts& facts = info.facts;
  RowWriter rows;
  rows.add("name", model.name);
  rows.add("source", word_of(model.source));
  rows.add("path", model.path.string());
  rows.add("size", size_text(static_cast<double>(model.bytes)));
  rows.add("quant", quant_text(model, facts));
  rows.add("commit", model.revision);
  rows.add("digest", model.digest);
  if (model.files.size() > 1)
    rows.add(facts.format == "gguf" ? "shards" : "files", fmt::to_string(model.files.size()));
  rows.add("architecture", facts.architecture);
  rows.add("parameters", parameters_text(facts));
  if (facts.parameters > 0) rows.add("bits/weight", fmt::format("{:.2f}", facts.bits_per_weight()));
  rows.add("context", context_text(facts.context));
  rows.add_count("layers", facts.layers);
  rows.add_count("embedding", facts.embedding);
  rows.add_count("vocabulary", facts.vocab);
  for (const KvGroupFacts& group : groups()) rows.add("kv", group_text(group));
  if (described.unserved.empty() || info.chat_template != nullptr) add_template(info, rows);
  if (described.unserved.empty()) rows.add("sampling", sampling_text(described));
  rows.add("license", facts.license);
  rows.add("can be served",
           described.unserved.empty() ? std::string("yes") : "no: " + described.unserved);
  return rows.take();
}

Rows ShownModel::memory_rows() const {
  if (memory.empty()) return {};
  Rows rows{{"CONTEXT", "WEIGHTS", "KV", "SCRATCH", "SUM", "FITS"}};
  for (const service::MemoryAt& at : memory)
    rows.push_back({fmt::to_string(at.context_tokens), service::bytes_text(at.weights_bytes),
                    service::bytes_text(at.kv_bytes), service::bytes_text(at.scratch_bytes),
                    service::bytes_text(at.bytes()), yes_or_no(at.fits)});
  return rows;
}

}  // namespace pippin::app
