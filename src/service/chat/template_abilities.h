// TemplateAbilities: what a chat template has words for, told by its source. What it has none for
// is written into the texts (template_context.h). Thread: any.
#pragma once

#include <string_view>
#include <vector>

namespace pippin::service {

/// Borrows the source.
class TemplateAbilities {
 public:
  explicit TemplateAbilities(std::string_view source) : source_(source) {}

  bool developer() const { return knows("developer"); }
  bool tools() const { return knows("tools"); }
  bool functions() const { return knows("+ functions"); }
  bool calls() const { return knows("tool_calls"); }
  bool results() const { return knows("tool"); }
  /// A template that checks roles at all and does not name this one refuses it.
  bool system() const {
    return !knows("System role not supported") && (knows("system") || !knows("raise_exception"));
  }
  bool reasoning() const {
    return knows("reasoning_content") || knows("reasoning") || knows(".thinking") ||
           knows("['thinking']") || knows("\"thinking\"");
  }
  /// Whether calls are written only where there is no content, not even an empty one.
  bool calls_want_no_content() const {
    return knows("'assistant' and message['content'] is none") ||
           knows("'assistant' and not message['content']");
  }
  /// Whether arguments are joined to text as they are, so that they must be text themselves.
  bool text_arguments() const;
  /// Whether it takes pictures.
  bool images() const;
  /// Whether it takes an effort of thinking: low, medium or high.
  bool effort() const { return reads("reasoning_effort"); }
  /// Returns the variables by which a request turns its thinking on, off or to a measure.
  std::vector<std::string_view> thinking_variables() const;
  bool knows(std::string_view text) const { return source_.find(text) != std::string_view::npos; }
  /// Whether it reads a variable that it is given: by its name in a tag, outside of texts, as no
  /// one's member, and not first set by the template itself.
  bool reads(std::string_view variable) const;

 private:
  std::string_view source_;
};

}  // namespace pippin::service
