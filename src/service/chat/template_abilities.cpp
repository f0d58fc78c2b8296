#include "service/chat/template_abilities.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

namespace pippin::service {
namespace {

// As the templates of docs/models.md call them.
constexpr std::string_view kThinkingVariables[] = {
    "enable_thinking",  "thinking",        "reasoning",       "thinking_mode",
    "reasoning_effort", "thinking_effort", "thinking_budget",
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Reads the words of a template's tags, {{ .. }} and {% .. %}, one after the other. Texts in
/// quotes and members behind a dot are passed over.
class TagWords {
 public:
  explicit TagWords(std::string_view source) : rest_(source) {}

  /// Returns the next word; empty at the end.
  std::string_view next() {
    while (enter_tag()) {
      const char c = rest_.front();
      if (c == '\'' || c == '"') {
        skip_text(c);
      } else if (rest_.starts_with("}}") || rest_.starts_with("%}")) {
        inside_ = false;
        rest_.remove_prefix(2);
      } else if (is_word(c)) {
        const std::string_view word = take_word();
        if (!std::exchange(behind_dot_, false)) return word;
      } else {
        behind_dot_ = c == '.';
        rest_.remove_prefix(1);
      }
    }
    return {};
  }

 private:
  // Returns whether anything of a tag is left to read.
  bool enter_tag() {
    while (!inside_) {
      const size_t at = rest_.find('{');
      if (at == std::string_view::npos || at + 1 >= rest_.size()) return false;
      inside_ = rest_[at + 1] == '{' || rest_[at + 1] == '%';
      rest_.remove_prefix(inside_ ? at + 2 : at + 1);
    }
    return !rest_.empty();
  }

  void skip_text(char quote) {
    size_t at = 1;
    while (at < rest_.size() && rest_[at] != quote) at += rest_[at] == '\\' ? 2 : 1;
    rest_.remove_prefix(std::min(at + 1, rest_.size()));
  }

  std::string_view take_word() {
    const auto end = std::ranges::find_if_not(rest_, is_word);
    const std::string_view word = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    rest_.remove_prefix(word.size());
    return word;
  }

  std::string_view rest_;
  bool inside_ = false;      // a tag
  bool behind_dot_ = false;  // what follows is a member
};

}  // namespace

bool TemplateAbilities::text_arguments() const {
  constexpr std::string_view kName = "arguments";
  bool joined = false;
  for (size_t at = source_.find(kName); at != std::string_view::npos;
       at = source_.find(kName, at + 1)) {
    // The word may stand in a text, too.
    if (at == 0 || std::string_view("'\".").find(source_[at - 1]) == std::string_view::npos)
      continue;
    std::string_view rest = source_.substr(at + kName.size());
    rest.remove_prefix(std::min(rest.find_first_not_of("'\"]) \n"), rest.size()));
    if (rest.starts_with('|') || rest.starts_with('.') || rest.starts_with("is ")) return false;
    joined = joined || rest.starts_with('+') || rest.starts_with("}}");
  }
  return joined;
}

bool TemplateAbilities::images() const {
  return knows("'image'") || knows("\"image\"") || knows("image_url") || knows("<|image");
}

std::vector<std::string_view> TemplateAbilities::thinking_variables() const {
  std::vector<std::string_view> names;
  std::ranges::copy_if(kThinkingVariables, std::back_inserter(names),
                       [this](std::string_view name) { return reads(name); });
  return names;
}

bool TemplateAbilities::reads(std::string_view variable) const {
  TagWords words(source_);
  std::string_view before;
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    if (word == variable) return before != "set" && before != "for";
    before = word;
  }
  return false;
}

}  // namespace pippin::service
