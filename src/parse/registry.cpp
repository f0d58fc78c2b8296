#include "parse/registry.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/ascii.h"
#include "parse/cursor.h"
#include "parse/reasoning/rows.h"
#include "parse/tool/rows.h"

namespace pippin::parse {
namespace {

// In the order of detection: where one template matches two rows' patterns, the narrower comes
// first.
constexpr std::array kToolRows = {
    &kSeedOss,       &kDeepseekV32,   &kDeepseekV3, &kDeepseekV31, &kKimiK2,   &kKimiK3,
    &kMinimaxM3,     &kMinicpm5,      &kSolarOpen,  &kHarmony,     &kGemma4,   &kFunctionGemma,
    &kMinimaxM2,     &kMinimaxM1,     &kMuse,       &kHunyuan,     &kStep3p5,  &kNemotron3,
    &kQwen3Coder,    &kGlm47,         &kGlm45,      &kGranite,     &kNemotron, &kJamba,
    &kPhi4,          &kCommandR,      &kInternlm,   &kGigachat,    &kLfm2,     &kOlmo3,
    &kApertus,       &kMistralArgs,   &kMistral,    &kLlama4,      &kHermes,   &kFunctionary2,
    &kFunctionary31, &kFunctionary32, &kLlama3,     &kXlam,        &kGeneric,
};

constexpr std::array kReasoningRows = {
    &kHarmonyChannels, &kKimiK3Think,  &kMinimaxThink,    &kHunyuanThink,
    &kGemmaChannel,    &kMuseMessages, &kSeedThink,       &kCommandThinking,
    &kApertusInner,    &kSolarThink,   &kGraniteThoughts, &kGraniteTags,
    &kMistralThink,    &kThinkGlm,     &kThinking,        &kThink,
};

bool stands_in(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool taught_by(const DetectionPatterns& patterns, std::string_view chat_template) {
  const auto stands = [&](std::string_view text) { return stands_in(chat_template, text); };
  if (patterns.all.empty() && patterns.any.empty()) return false;
  if (!std::all_of(patterns.all.begin(), patterns.all.end(), stands)) return false;
  if (std::any_of(patterns.none.begin(), patterns.none.end(), stands)) return false;
  return patterns.any.empty() || std::any_of(patterns.any.begin(), patterns.any.end(), stands);
}

// The first row whose patterns match the template, else the longest match of a part of the name.
template <typename Rows>
auto detect(const Rows& rows, std::string_view chat_template, std::string_view model) {
  typename Rows::value_type best = nullptr;
  for (const auto* row : rows) {
    if (taught_by(row->detection, chat_template)) return row;
  }
  size_t longest = 0;
  const std::string name = ascii_lower(model);
  for (const auto* row : rows) {
    const Texts& others = row->detection.others;
    if (std::any_of(others.begin(), others.end(), [&](auto part) { return stands_in(name, part); }))
      continue;
    for (std::string_view part : row->detection.models) {
      if (part.size() <= longest || !stands_in(name, part)) continue;
      longest = part.size();
      best = row;
    }
  }
  return best;
}

template <typename Rows>
auto named(const Rows& rows, std::string_view name) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const auto* row) {
    return row->name == name || row->aliases.contains(name);
  });
  return found == rows.end() ? nullptr : *found;
}

}  // namespace

std::span<const ToolDialect* const> tool_dialects() { return kToolRows; }
std::span<const ReasoningDialect* const> reasoning_dialects() { return kReasoningRows; }

const ToolDialect* find_tool_dialect(std::string_view name) { return named(kToolRows, name); }
const ReasoningDialect* find_reasoning_dialect(std::string_view name) {
  return named(kReasoningRows, name);
}

const ToolDialect& detect_tool_dialect(std::string_view chat_template, std::string_view model) {
  const ToolDialect* found = detect(kToolRows, chat_template, model);
  return found ? *found : kGeneric;
}

const ReasoningDialect* detect_reasoning_dialect(std::string_view chat_template,
                                                 std::string_view model) {
  return detect(kReasoningRows, chat_template, model);
}

bool looks_for(const ToolDialect* tools, const ReasoningDialect* reasoning,
               std::string_view special) {
  const auto in_text = [&](std::string_view text) { return stands_in(text, special); };
  const auto in_texts = [&](const Texts& texts) { return std::ranges::any_of(texts, in_text); };
  if (special.empty()) return false;
  if (reasoning && std::ranges::any_of(reasoning->marks, [&](const Mark& mark) {
        return in_text(mark.text) || in_text(mark.until);
      })) {
    return true;
  }
  if (!tools) return false;
  const Envelope& envelope = tools->envelope;
  const auto in_tags = [&](const Tags& tags) {
    return in_text(tags.key_open) || in_text(tags.key_close) || in_text(tags.value_open) ||
           in_text(tags.value_close) || in_texts(tags.ends);
  };
  return in_texts(tools->start_markers) || in_texts(tools->end_markers) ||
         in_texts(tools->specials) || in_text(envelope.section_begin) || in_text(envelope.prefix) ||
         in_text(envelope.infix) || in_text(envelope.suffix) || in_text(envelope.separator) ||
         in_text(envelope.section_end) || in_text(envelope.quote) ||
         (envelope.tags != nullptr && in_tags(*envelope.tags));
}

bool starts_inside(const ReasoningDialect& dialect, std::string_view prompt) {
  const std::string_view end = trim(prompt);
  return std::any_of(dialect.marks.begin(), dialect.marks.end(), [&](const Mark& mark) {
    const std::string whole = std::string(mark.text) + std::string(mark.until);
    return mark.turn == Mark::Turn::kOpen && !whole.empty() && end.ends_with(whole);
  });
}

std::string_view generation_prefix(const ToolDialect& dialect, std::string_view prompt) {
  return prompt.ends_with(dialect.generation_prefix) ? dialect.generation_prefix
                                                     : std::string_view{};
}

}  // namespace pippin::parse
