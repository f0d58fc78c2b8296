#include "store/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <numbers>

#include "base/json_read.h"
#include "store/config_limits.h"
#include "store/hf_family.h"
#include "store/hf_fields.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

namespace json = boost::json;

std::optional<int> given(int value) { return value > 0 ? std::optional(value) : std::nullopt; }

class HfConfigReader {
 public:
  HfConfigReader(const HfFields& fields, const HfFamily& family)
      : fields_(fields), family_(family) {}

  Result<HfConfig> run() {
    ModelConfig& model = config_.model;
    model.architecture = family_.architecture;
    model.layout = WeightLayout::kHuggingFace;
    RETURN_IF_ERROR(read_sizes());
    RETURN_IF_ERROR(read_heads());
    RETURN_IF_ERROR(read_rope());
    RETURN_IF_ERROR(read_window());
    RETURN_IF_ERROR(read_scales());
    RETURN_IF_ERROR(read_kinds());
    if (family_.read != nullptr) RETURN_IF_ERROR(family_.read(fields_, model));
    RETURN_IF_ERROR(refuse_unread());
    config_.family = &family_;
    return std::move(config_);
  }

 private:
  Result<void> read_sizes();
  Result<void> read_heads();
  Result<void> read_rope();
  Result<void> read_rope_scaling(const HfFields& rope);
  Result<void> read_llama3(const HfFields& from);
  Result<void> read_yarn(const HfFields& from);
  Result<void> read_longrope(const HfFields& from);
  Result<void> set_rotated(double share);
  Result<void> read_window();
  Result<std::optional<std::vector<bool>>> read_layer_types();
  Result<std::vector<bool>> windows_by_rule();
  Result<void> read_scales();
  Result<void> read_kinds();
  Result<void> refuse_unread();

  const HfFields& fields_;
  const HfFamily& family_;
  HfConfig config_;
};

Result<void> HfConfigReader::read_sizes() {
  ModelConfig& model = config_.model;
  ASSIGN_OR_RETURN(model.vocab_size,
                   fields_.size("vocab_size", 1, kVocabMax, given(family_.vocab)));
  ASSIGN_OR_RETURN(model.embedding_length,
                   fields_.size("hidden_size", 1, kWidthMax, given(family_.width)));
  const std::optional<int> listed = fields_.length("layer_types");
  ASSIGN_OR_RETURN(model.layers, fields_.size("num_hidden_layers", 1, kLayersMax,
                                              listed ? listed : given(family_.layers)));
  ASSIGN_OR_RETURN(model.context_length,
                   fields_.size("max_position_embeddings", 1, kContextMax, given(family_.context)));
  ASSIGN_OR_RETURN(
      const int feed_forward,
      fields_.size_of_all("intermediate_size", 1, kFeedForwardMax, given(family_.feed_forward)));
  model.feed_forward.assign(static_cast<size_t>(model.layers), feed_forward);
  ASSIGN_OR_RETURN(const double eps,
                   fields_.number(family_.eps_field, 0, kNormEpsMax,
                                  family_.eps > 0 ? std::optional(family_.eps) : std::nullopt));
  model.norm = family_.layer_norm ? NormKind::kLayer : NormKind::kRms;
  model.norm_eps = static_cast<float>(eps);
  return {};
}

Result<void> HfConfigReader::read_heads() {
  ModelConfig& model = config_.model;
  const auto layers = static_cast<size_t>(model.layers);
  ASSIGN_OR_RETURN(const int heads,
                   fields_.size("num_attention_heads", 1, kHeadsMax, given(family_.heads)));
  ASSIGN_OR_RETURN(const int kv_heads,
                   fields_.size("num_key_value_heads", 1, kHeadsMax,
                                family_.kv_heads > 0 ? family_.kv_heads : heads));
  if (heads % kv_heads != 0)
    return fields_.wrong("num_key_value_heads",
                         fmt::format("expected a divisor of {}, but found {}", heads, kv_heads));
  const bool divides = model.embedding_length % heads == 0;
  const std::optional<int> natural = divides ? given(model.embedding_length / heads) : std::nullopt;
  ASSIGN_OR_RETURN(model.head_dim_k,
                   fields_.size("head_dim", 1, kHeadDimMax,
                                family_.head_dim > 0 ? given(family_.head_dim) : natural));
  model.head_dim_v = model.head_dim_k;
  model.heads.assign(layers, heads);
  model.kv_heads.assign(layers, kv_heads);
  return {};
}

// Newer files have rope_parameters, which may differ for layers with a window; older ones
// rope_theta, rope_local_base_freq and rope_scaling.
// Folders of two versions of transformers say it under both keys.
Result<void> same_scaling(const HfFields& scaling, const HfFields& parameters) {
  const auto kind_of = [](const HfFields& from) {
    return from.text(from.has("rope_type") ? "rope_type" : "type", "default");
  };
  ASSIGN_OR_RETURN(const std::string kind, kind_of(scaling));
  ASSIGN_OR_RETURN(const std::string other, kind_of(parameters));
  if (kind == other) return {};
  return scaling.wrong("rope_type",
                       fmt::format("expected {}, as rope_parameters has it, but found {}",
                                   quoted(other), quoted(kind)));
}

Result<void> HfConfigReader::read_rope() {
  RopeConfig& rope = config_.model.rope;
  rope.original_context = config_.model.context_length;
  const auto base_of = [](const HfFields& from, const char* key, double otherwise) {
    return from.number(key, 1, kRopeBaseMax, otherwise);
  };
  ASSIGN_OR_RETURN(rope.freq_base, base_of(fields_, "rope_theta", family_.rope_base));
  if (family_.window_rope_base > 0) {
    ASSIGN_OR_RETURN(rope.freq_base_window,
                     base_of(fields_, "rope_local_base_freq", family_.window_rope_base));
  }
  ASSIGN_OR_RETURN(double rotated,
                   fields_.number("partial_rotary_factor", 0, 1, family_.partial_rotary));
  ASSIGN_OR_RETURN(const std::optional<HfFields> parameters, fields_.object("rope_parameters"));
  ASSIGN_OR_RETURN(const std::optional<HfFields> scaling, fields_.object("rope_scaling"));
  if (parameters) {
    ASSIGN_OR_RETURN(rotated, parameters->number("partial_rotary_factor", 0, 1, rotated));
  }
  RETURN_IF_ERROR(set_rotated(rotated));
  if (scaling && !parameters) RETURN_IF_ERROR(read_rope_scaling(*scaling));
  if (!parameters) return {};

  ASSIGN_OR_RETURN(const std::optional<HfFields> full, parameters->object("full_attention"));
  ASSIGN_OR_RETURN(const std::optional<HfFields> windowed, parameters->object("sliding_attention"));
  const HfFields& main = full ? *full : *parameters;
  if (scaling) RETURN_IF_ERROR(same_scaling(*scaling, main));
  ASSIGN_OR_RETURN(rope.freq_base, base_of(main, "rope_theta", rope.freq_base));
  RETURN_IF_ERROR(read_rope_scaling(main));
  if (windowed) {
    ASSIGN_OR_RETURN(rope.freq_base_window, base_of(*windowed, "rope_theta", rope.freq_base));
    ASSIGN_OR_RETURN(const std::string kind, windowed->text("rope_type", "default"));
    if (kind != "default")
      return windowed->unsupported("rope_type", quoted(kind) + " is not supported with a window");
  }
  return {};
}

// As transformers counts the dims of a share: cut down, not rounded.
Result<void> HfConfigReader::set_rotated(double share) {
  RopeConfig& rope = config_.model.rope;
  rope.dims = static_cast<int>(config_.model.head_dim_k * share);
  if (share == 1) rope.dims = config_.model.head_dim_k / 2 * 2;
  if (rope.dims % 2 != 0)
    return fields_.wrong("partial_rotary_factor", fmt::format("{} of {} dims is an odd number",
                                                              share, config_.model.head_dim_k));
  return {};
}

Result<void> HfConfigReader::read_rope_scaling(const HfFields& from) {
  const char* key = from.has("rope_type") ? "rope_type" : "type";  // the older name
  ASSIGN_OR_RETURN(const std::string kind, from.text(key, "default"));
  // Dynamic scaling begins where the context that the model is served with ends.
  // "mrope" turns by positions of images, too, which those of text agree with.
  if (kind == "default" || kind == "dynamic" || kind == "mrope") return {};
  if (kind == "llama3") return read_llama3(from);
  if (kind == "proportional" && family_.architecture == "gemma4") return {};  // its own matter
  if (kind == "yarn") return read_yarn(from);
  if (kind == "longrope" || kind == "su") return read_longrope(from);
  if (kind != "linear")
    return from.unsupported(key, fmt::format("rope scaling {} is not supported; this build knows "
                                             "linear, dynamic, llama3, yarn and longrope",
                                             quoted(kind)));
  RopeConfig& rope = config_.model.rope;
  ASSIGN_OR_RETURN(rope.factor, from.number("factor", 1, kScaleMax));
  rope.scaling = RopeScaling::kLinear;
  return {};
}

Result<void> HfConfigReader::read_llama3(const HfFields& from) {
  RopeConfig& rope = config_.model.rope;
  ASSIGN_OR_RETURN(const double factor, from.number("factor", 1, kScaleMax));
  ASSIGN_OR_RETURN(const double low, from.number("low_freq_factor", 1e-6, kScaleMax));
  ASSIGN_OR_RETURN(const double high, from.number("high_freq_factor", 1e-6, kScaleMax));
  if (high < low) return from.wrong("high_freq_factor", "expected low_freq_factor at least");
  ASSIGN_OR_RETURN(rope.original_context,
                   from.size("original_max_position_embeddings", 1, kContextMax));
  // Fast pairs stay, slow ones are stretched, those between change over smoothly.
  for (int i = 0; i < rope.dims; i += 2) {
    const double turns = rope.original_context *
                         std::pow(rope.freq_base, -static_cast<double>(i) / rope.dims) /
                         (2 * std::numbers::pi);
    const double smooth =
        high > low ? std::clamp((turns - low) / (high - low), 0.0, 1.0) : (turns > low ? 1.0 : 0.0);
    rope.divisors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
  }
  return {};
}

// Source: Peng et al., YaRN, 2023; transformers for the magnitude.
Result<void> HfConfigReader::read_yarn(const HfFields& from) {
  RopeConfig& rope = config_.model.rope;
  rope.scaling = RopeScaling::kYarn;
  ASSIGN_OR_RETURN(rope.factor, from.number("factor", 1, kScaleMax));
  ASSIGN_OR_RETURN(rope.original_context, from.size("original_max_position_embeddings", 1,
                                                    kContextMax, rope.original_context));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast,
                   from.number("beta_fast", 0, kScaleMax, rope.yarn_beta_fast));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow,
                   from.number("beta_slow", 0, kScaleMax, rope.yarn_beta_slow));
  ASSIGN_OR_RETURN(rope.yarn_truncate, from.flag("truncate", true));
  ASSIGN_OR_RETURN(const double mscale, from.number("mscale", 0, kScaleMax, 0));
  ASSIGN_OR_RETURN(const double all_dims, from.number("mscale_all_dim", 0, kScaleMax, 0));
  const auto magnitude = [&](double m) {
    return rope.factor <= 1 ? 1 : 0.1 * m * std::log(rope.factor) + 1;
  };
  const double usual =
      mscale > 0 && all_dims > 0 ? magnitude(mscale) / magnitude(all_dims) : magnitude(1);
  ASSIGN_OR_RETURN(rope.attention_factor, from.number("attention_factor", 0, kScaleMax, usual));
  rope.yarn_log_multiplier = all_dims;
  return {};
}

// Source: Ding et al., LongRoPE, 2024; transformers for the magnitude.
Result<void> HfConfigReader::read_longrope(const HfFields& from) {
  ModelConfig& model = config_.model;
  RopeConfig& rope = model.rope;
  rope.scaling = RopeScaling::kLongRope;
  ASSIGN_OR_RETURN(rope.original_context, fields_.size("original_max_position_embeddings", 1,
                                                       kContextMax, model.context_length));
  ASSIGN_OR_RETURN(rope.original_context, from.size("original_max_position_embeddings", 1,
                                                    kContextMax, rope.original_context));
  for (const auto& [key, divisors] :
       {std::pair("short_factor", &rope.short_divisors), {"long_factor", &rope.long_divisors}}) {
    const json::array* values = array_in(from.json(), key);
    if (values == nullptr || values->size() != static_cast<size_t>(rope.dims / 2))
      return from.wrong(key, fmt::format("expected {} numbers", rope.dims / 2));
    for (const json::value& value : *values) {
      if (!value.is_number() || !(value.to_number<double>() > 0))
        return from.wrong(key, "expected numbers above zero");
      divisors->push_back(value.to_number<float>());
    }
  }
  const double stretch = static_cast<double>(model.context_length) / rope.original_context;
  ASSIGN_OR_RETURN(const double factor, from.number("factor", 0, kScaleMax, stretch));
  const double usual =
      factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(rope.original_context));
  ASSIGN_OR_RETURN(rope.attention_factor, from.number("attention_factor", 0, kScaleMax, usual));
  return {};
}

// Which layers have a window, where the file lists them.
Result<std::optional<std::vector<bool>>> HfConfigReader::read_layer_types() {
  if (!fields_.has("layer_types")) return std::optional<std::vector<bool>>();
  const json::array* types = array_in(fields_.json(), "layer_types");
  if (types == nullptr || types->size() != static_cast<size_t>(config_.model.layers))
    return fields_.wrong("layer_types", "expected one text for each layer");
  std::vector<bool> windowed;
  for (const json::value& type : *types) {
    const bool window = type == "sliding_attention";
    if (!window && type != "full_attention")
      return fields_.unsupported("layer_types",
                                 "only full_attention and sliding_attention are supported");
    windowed.push_back(window);
  }
  return std::optional(std::move(windowed));
}

Result<void> HfConfigReader::read_window() {
  ModelConfig& model = config_.model;
  const bool by_flag = family_.window_rule == WindowRule::kFlag;
  ASSIGN_OR_RETURN(const bool used, fields_.flag("use_sliding_window", !by_flag));
  if (!used || (family_.window == 0 && !fields_.has("sliding_window"))) return {};
  ASSIGN_OR_RETURN(model.sliding_window,
                   fields_.size("sliding_window", 1, kContextMax, given(family_.window)));
  ASSIGN_OR_RETURN(std::optional<std::vector<bool>> windowed, read_layer_types());
  if (!windowed) {
    ASSIGN_OR_RETURN(windowed, windows_by_rule());
  }
  if (std::ranges::find(*windowed, true) == windowed->end()) model.sliding_window = 0;
  model.windowed_layers = std::move(*windowed);
  return {};
}

Result<std::vector<bool>> HfConfigReader::windows_by_rule() {
  const auto layers = static_cast<size_t>(config_.model.layers);
  std::vector<bool> windowed(layers, true);
  if (family_.window_rule == WindowRule::kFlag) {
    ASSIGN_OR_RETURN(const int first, fields_.size("max_window_layers", 0, kLayersMax, 28));
    for (size_t i = 0; i < layers; ++i) windowed[i] = i >= static_cast<size_t>(first);
  } else if (family_.window_rule == WindowRule::kPeriod) {
    ASSIGN_OR_RETURN(const int period,
                     fields_.size("sliding_window_pattern", 1, kLayersMax, family_.window_period));
    for (size_t i = 0; i < layers; ++i) windowed[i] = (i + 1) % static_cast<size_t>(period) != 0;
  }
  return windowed;
}

Result<void> HfConfigReader::read_scales() {
  ModelConfig& model = config_.model;
  const auto cap = [&](const char* key) { return fields_.number(key, 0, kScaleMax, 0); };
  ASSIGN_OR_RETURN(const double attention_cap, cap("attn_logit_softcapping"));
  ASSIGN_OR_RETURN(const double logit_cap, cap("final_logit_softcapping"));
  model.attention_soft_cap = static_cast<float>(attention_cap);
  model.logit_soft_cap = static_cast<float>(logit_cap);
  if (family_.query_scalar > 0) {
    ASSIGN_OR_RETURN(const double scalar, fields_.number("query_pre_attn_scalar", 1e-6, kScaleMax,
                                                         family_.query_scalar));
    model.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  }
  const std::pair<std::string_view, float*> factors[] = {
      {family_.attention_scale, &model.attention_scale},
      {family_.embedding_scale, &model.embedding_scale},
      {family_.residual_scale, &model.residual_scale},
      {family_.logit_scale, &model.logit_scale}};
  for (const auto& [key, factor] : factors) {
    if (key.empty()) continue;
    ASSIGN_OR_RETURN(const double value, fields_.number(key, 1e-6, kScaleMax, 1));
    *factor = static_cast<float>(value);
  }
  return {};
}

Result<void> HfConfigReader::read_kinds() {
  const char* key = fields_.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  ASSIGN_OR_RETURN(const std::string activation,
                   fields_.text(key, std::string(family_.activation)));
  if (activation != family_.activation && activation != family_.activation_alias)
    return fields_.unsupported(key, fmt::format("{} is not supported; expected {}",
                                                quoted(activation), family_.activation));
  ASSIGN_OR_RETURN(const bool bias, fields_.flag("attention_bias", false));
  config_.qkv_bias = bias || family_.qkv_bias;
  const Result<std::string> both = fields_.text("use_bidirectional_attention", "");
  if (both.ok() && *both == "vision") return {};  // tokens of images alone
  ASSIGN_OR_RETURN(const bool bidirectional, fields_.flag("use_bidirectional_attention", false));
  if (bidirectional)
    return fields_.unsupported("use_bidirectional_attention", "it is not supported yet");
  return {};
}

// Parts of names of keys that change what a model computes. Such a key that no family reads would
// give wrong answers without a word.
constexpr std::string_view kChangesResults[] = {"multiplier", "_scale",       "scaling", "softcap",
                                                "clip",       "_temperature", "alibi"};

bool is_neutral(const json::value& value) {
  if (value.is_bool()) return !value.get_bool();
  if (value.is_number()) {
    const auto number = value.to_number<double>();
    return number == 0 || number == 1;
  }
  return value.is_null() || value.is_string() || value.is_array() || value.is_object();
}

Result<void> HfConfigReader::refuse_unread() {
  for (const std::string& key : fields_.unread()) {
    const auto within = [&](std::string_view part) { return key.find(part) != key.npos; };
    if (is_neutral(fields_.json().at(key)) || std::ranges::none_of(kChangesResults, within))
      continue;
    return fields_.unsupported(
        key, fmt::format("it changes results, and is not known to models of type {}",
                         quoted(family_.architecture)));
  }
  return {};
}

// `part`: of the text_config in a model of `model_type`, which sees, too.
const HfFamily* find_family(std::string_view model_type, bool part) {
  const std::span<const HfFamily* const> all = hf_families();
  const auto found = std::ranges::find(all, model_type, [part](const HfFamily* family) {
    return part ? family->part_of : family->model_type;
  });
  return found == all.end() ? nullptr : *found;
}

Error unknown_family(const HfFields& root, std::string_view model_type) {
  std::string known;
  for (const HfFamily* family : hf_families())
    known += (known.empty() ? "" : ", ") + std::string(family->model_type);
  return root.unsupported("model_type", fmt::format("{} is not supported yet; this build knows {}",
                                                    quoted(model_type), known));
}

// Python writes Infinity, which JSON has not; newer files have an object in its place.
std::string without_infinities(std::string_view text) {
  constexpr std::string_view kInfinity = "Infinity";
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!quoted && text.substr(i).starts_with(kInfinity)) {
      out += R"({"__float__": "Infinity"})";
      i += kInfinity.size() - 1;
      continue;
    }
    if (text[i] == '"') quoted = !quoted;
    out += text[i];
    if (quoted && text[i] == '\\' && i + 1 < text.size()) out += text[++i];
  }
  return out;
}

}  // namespace

Result<HfConfig> read_hf_config(std::string_view text, const std::string& path) {
  ASSIGN_OR_RETURN(const json::object object,
                   parse_object(without_infinities(text), "[config] " + path));
  const HfFields root(object, path);
  ASSIGN_OR_RETURN(const std::string model_type, root.text("model_type"));
  // A model that sees has its text model as a part.
  ASSIGN_OR_RETURN(const std::optional<HfFields> part, root.object("text_config"));
  const HfFamily* family = find_family(model_type, part.has_value());
  if (part && family == nullptr) {
    ASSIGN_OR_RETURN(const std::string inner, part->text("model_type", ""));
    family = find_family(inner, false);
  }
  const bool is_part = part && family != nullptr;
  if (family == nullptr) family = find_family(model_type, false);
  if (family == nullptr) return unknown_family(root, model_type);
  const HfFields fields = (is_part ? *part : root).with_names(family->fields);
  ASSIGN_OR_RETURN(HfConfig config, HfConfigReader(fields, *family).run());
  config.model.path = path;
  config.is_part = is_part;
  if (root.has("tie_word_embeddings")) {
    ASSIGN_OR_RETURN(config.tied_output, root.flag("tie_word_embeddings", false));
  }
  ASSIGN_OR_RETURN(config.quantisation, read_hf_quantisation(root));
  return config;
}

}  // namespace pippin::store
