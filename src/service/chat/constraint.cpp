#include "service/chat/constraint.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "parse/registry.h"
#include "service/chat/constraint_calls.h"
#include "service/chat/constraint_text.h"
#include "service/chat/held_calls.h"
#include "service/json.h"
#include "text/grammar.h"

namespace pippin::service {
namespace {

using text::GrammarSyntax;
using Thinking = ConstraintSpec::Thinking;
using Turn = parse::Mark::Turn;

// A line or two between thinking and what follows; needed where a call counts only at the start of
// a line.
constexpr std::string_view kBlank = "/\\n{1,2}/? ";
// A mistake at the end of a chain of rules costs the square of its length.
constexpr size_t kGrammarBytesMax = 32 << 10;
constexpr std::string_view kLine = "/\\n{1,2}/ ";

class GrammarConstraint final : public engine::Constraint {
 public:
  explicit GrammarConstraint(std::unique_ptr<text::Matcher> matcher)
      : matcher_(std::move(matcher)) {}

  Result<void> accept(std::span<const engine::Token> tokens) override {
    return matcher_->accept(tokens);
  }
  std::vector<engine::Token> jump_forward() override { return matcher_->forced(); }
  Result<void> fill_mask(std::vector<uint32_t>& mask) override { return matcher_->fill_mask(mask); }
  bool complete() override { return matcher_->is_complete(); }

 private:
  const std::unique_ptr<text::Matcher> matcher_;
};

class GrammarPlan final : public ConstraintPlan {
 public:
  explicit GrammarPlan(std::shared_ptr<const text::Grammar> grammar)
      : grammar_(std::move(grammar)) {}
  std::shared_ptr<engine::Constraint> start() const override {
    return std::make_shared<GrammarConstraint>(grammar_->start());
  }

 private:
  const std::shared_ptr<const text::Grammar> grammar_;
};

/// A grammar before it is compiled.
struct Source {
  GrammarSyntax syntax;
  std::string text;
};

bool has_format(const ConstraintSpec& spec) {
  return !std::holds_alternative<std::monostate>(spec.format);
}

/// Writes the grammar of one answer: thinking, then content or calls.
class GrammarWriter {
 public:
  GrammarWriter(const ConstraintSpec& spec, const text::Tokenizer& tokenizer)
      : spec_(spec), lark_(tokenizer) {
    if (spec.choice.mode != ToolChoice::Mode::kNone)
      for (const Tool& tool : spec.tools)
        if (spec.choice.names.empty() ||
            std::ranges::find(spec.choice.names, tool.name) != spec.choice.names.end())
          callable_.push_back(tool);
  }

  bool must_call() const { return spec_.choice.mode == ToolChoice::Mode::kRequired; }
  bool holds_calls() const {
    return must_call() ||
           std::ranges::any_of(callable_, [](const Tool& tool) { return tool.strict; });
  }
  /// Says whether calls that must be held may stand in text that nothing holds.
  bool has_free_text() const { return holds_calls() && !must_call() && !has_format(spec_); }
  const std::vector<Tool>& callable() const { return callable_; }
  parse::AnswerOptions reading() const {
    parse::AnswerOptions options{spec_.dialect,
                                 spec_.thinking_is_content ? nullptr : spec_.reasoning};
    for (const Tool& tool : callable_)
      options.offered.push_back({tool.name, tool.parameters_json, tool.strict});
    options.starts_inside = spec_.thinking == Thinking::kInside;
    options.generation_prefix = spec_.generation_prefix;
    return options;
  }
  bool any_lenient() const {
    return std::ranges::any_of(callable_, [](const Tool& tool) { return !tool.strict; });
  }

  /// `loose`: tools that are not strict take any object.
  Result<Source> write(bool loose) {
    loose_ = loose;
    if (spec_.thinking == Thinking::kNone && !header_needed() && !holds_calls() &&
        callable_.empty())
      return alone();
    ASSIGN_OR_RETURN(const std::string at_start, body(false));
    if (spec_.thinking == Thinking::kNone)
      return Source{GrammarSyntax::kLark, lark_.grammar(at_start)};
    ASSIGN_OR_RETURN(const std::string behind, body(true));
    const std::string thought = thinking() + behind;
    if (spec_.thinking == Thinking::kInside)
      return Source{GrammarSyntax::kLark, lark_.grammar(thought)};
    const std::string thinks = lark_.one_of(marks(Turn::kOpen)) + thought;
    return Source{GrammarSyntax::kLark,
                  lark_.grammar(lark_.one_of({lark_.rule(thinks), lark_.rule(at_start)}))};
  }

 private:
  // The format as a grammar of its own.
  Result<Source> alone() const {
    struct Writer {
      const std::string& field;
      Result<Source> operator()(const JsonObjectFormat&) const {
        return Source{GrammarSyntax::kJsonSchema, R"({"type":"object"})"};
      }
      Result<Source> operator()(const JsonSchemaFormat& format) const {
        ASSIGN_OR_RETURN(std::string checked, text::check_schema(format.schema_json, false, field));
        return Source{GrammarSyntax::kJsonSchema, std::move(checked)};
      }
      Result<Source> operator()(const RegexFormat& format) const {
        return Source{GrammarSyntax::kRegex, format.pattern};
      }
      Result<Source> operator()(const GrammarFormat& format) const {
        if (format.text.size() > kGrammarBytesMax)
          return fail(Code::kTooLarge, "a grammar of more than 32768 bytes", field);
        const bool gbnf = format.syntax == GrammarFormat::Syntax::kGbnf;
        return Source{gbnf ? GrammarSyntax::kGbnf : GrammarSyntax::kLark, format.text};
      }
      Result<Source> operator()(const ChoiceFormat& format) const {
        return Source{GrammarSyntax::kLark, "start: " + choices(format) + "\n"};
      }
      Result<Source> operator()(const std::monostate&) const {
        return fail(Code::kInternal, "[constraint] nothing to write");
      }
    };
    return std::visit(Writer{spec_.format_field}, spec_.format);
  }

  static std::string choices(const ChoiceFormat& format) {
    std::string any;
    for (const std::string& choice : format.choices) {
      any += any.empty() ? "(" : " | ";
      append_json_string(any, choice);
    }
    return any + ") ";
  }

  // The format as an expression in a larger grammar.
  Result<std::string> content() {
    ASSIGN_OR_RETURN(const Source source, alone());
    switch (source.syntax) {
      case GrammarSyntax::kJsonSchema:
        return lark_.rule("%json " + source.text);
      case GrammarSyntax::kRegex:
        return lark_.rule(lark_regex(source.text));
      case GrammarSyntax::kGbnf: {
        ASSIGN_OR_RETURN(const std::string converted, text::gbnf_to_lark(source.text));
        return lark_.rule("%lark {\n" + converted + "\n}");
      }
      default:
        return lark_.rule("%lark {\n" + source.text + "\n}");
    }
  }

  std::vector<std::string> texts(Turn turn) const {
    std::vector<std::string> all;
    if (spec_.reasoning == nullptr) return all;
    for (const parse::Mark& mark : spec_.reasoning->marks)
      if (mark.turn == turn && !mark.text.empty())
        all.push_back(std::string(mark.text) + std::string(mark.until));
    return all;
  }
  std::vector<std::string> marks(Turn turn) const {
    std::vector<std::string> all = texts(turn);
    for (std::string& text : all) text = lark_.literal(text);
    return all;
  }

  // Where messages have headers, as in harmony: the header of content. Else nothing.
  std::string_view header() const {
    static const std::string kNone;
    if (spec_.reasoning == nullptr) return {};
    for (const parse::Mark& mark : spec_.reasoning->marks)
      if (mark.turn == Turn::kClose && !mark.until.empty()) return mark.text;
    return {};
  }
  bool header_needed() const { return !header().empty(); }

  // Thinking behind its opening mark, up to and with a closing one.
  std::string thinking() {
    // A header closes thinking only behind the mark that ends its message.
    std::vector<std::string> closes;
    for (const parse::Mark& mark : spec_.reasoning->marks)
      if (mark.turn == Turn::kClose && !mark.text.empty() && mark.until.empty())
        closes.emplace_back(mark.text);
    const bool control = std::ranges::any_of(
        closes, [&](const std::string& text) { return lark_.begins_with_mark(text); });
    std::erase_if(closes,
                  [&](const std::string& text) { return lark_.begins_with_mark(text) != control; });
    std::vector<std::string> without;
    if (!control) without = texts(Turn::kClose);
    if (holds_calls()) add_start_markers(without);
    // The lexer stops at the first mark by itself.
    if (closes.size() == 1) std::erase(without, closes.front());
    return lark_.free_until(closes, without);
  }

  void add_start_markers(std::vector<std::string>& without) const {
    for (const std::string_view marker : spec_.dialect->start_markers) without.emplace_back(marker);
  }

  // What stands before content: marks that belong to neither, and a header.
  std::string before_content(bool behind_thinking) {
    std::string out(behind_thinking ? kBlank : std::string_view());
    if (header_needed()) {
      for (const parse::Mark& mark : spec_.reasoning->marks)
        if (mark.turn == Turn::kDrop && behind_thinking) out += lark_.literal(mark.text);
      for (const parse::Mark& mark : spec_.reasoning->marks)
        if (mark.text == header())
          return out + lark_.literal(std::string(mark.text) + std::string(mark.until));
    }
    std::vector<std::string> passed = marks(Turn::kDrop);
    if (spec_.reasoning != nullptr && spec_.reasoning->anywhere)
      for (const std::string& close : marks(Turn::kClose)) passed.push_back(close);
    if (!passed.empty()) out += "(" + lark_.one_of(passed) + ")? ";
    return out;
  }

  // What follows content: marks that belong to neither.
  std::string behind_content() {
    const std::vector<std::string> drops =
        header_needed() ? std::vector<std::string>() : marks(Turn::kDrop);
    return drops.empty() ? "" : "(" + lark_.one_of(drops) + ")? ";
  }

  Result<std::string> body(bool behind_thinking) {
    if (!holds_calls()) {
      ASSIGN_OR_RETURN(const std::string content, this->content());
      const std::string held = before_content(behind_thinking) + content + behind_content();
      // Tools that nothing holds may be called all the same.
      if (callable_.empty()) return held;
      ASSIGN_OR_RETURN(const std::string calls, only_calls(behind_thinking));
      return lark_.one_of({held, calls});
    }
    if (must_call()) return only_calls(behind_thinking);
    if (has_format(spec_)) {
      ASSIGN_OR_RETURN(const std::string content, this->content());
      ASSIGN_OR_RETURN(const std::string calls, only_calls(behind_thinking));
      return lark_.one_of({before_content(behind_thinking) + content + behind_content(), calls});
    }
    return text_and_calls(behind_thinking);
  }

  // Whether a message says to whom it is, and calls are messages to their tools.
  bool has_addresses() const {
    const std::string_view address = spec_.dialect->envelope.address;
    return !address.empty() && spec_.reasoning != nullptr &&
           std::ranges::any_of(spec_.reasoning->marks, [&](const parse::Mark& mark) {
             return mark.turn == Turn::kClose && !mark.until.empty() &&
                    address.starts_with(mark.text);
           });
  }

  // Calls with nothing before them.
  Result<std::string> only_calls(bool behind_thinking) {
    if (!has_addresses()) return calls(behind_thinking, 0);
    CallRules addressed = rules();
    addressed.addressed = true;
    ASSIGN_OR_RETURN(const std::string messages, calls_grammar(lark_, addressed, 0));
    std::string turn;
    if (behind_thinking)
      for (const std::string& mark : marks(Turn::kDrop)) turn += mark;
    return turn + messages;
  }

  // Calls whose first `skipped` bytes stand already, or what the template has written of them.
  Result<std::string> calls(bool behind_thinking, size_t skipped) {
    const std::string begin = calls_begin(*spec_.dialect);
    std::string blank;
    if (behind_thinking && skipped == 0) blank = is_marked(begin) ? kBlank : kLine;
    if (!behind_thinking && skipped == 0 && begin.starts_with(spec_.generation_prefix))
      skipped = spec_.generation_prefix.size();
    ASSIGN_OR_RETURN(const std::string section, calls_grammar(lark_, rules(), skipped));
    return blank + section;
  }
  CallRules rules() const {
    return {*spec_.dialect, callable_, spec_.choice.parallel, loose_, false};
  }
  // Whether a text begins with a mark that is no ordinary text.
  bool is_marked(std::string_view begin) const {
    const parse::Texts& start_markers = spec_.dialect->start_markers;
    return begin.starts_with('<') &&
           std::any_of(start_markers.begin(), start_markers.end(),
                       [&](auto marker) { return begin.starts_with(marker); });
  }

  // Free text in which calls may stand.
  Result<std::string> text_and_calls(bool behind_thinking) {
    const parse::ToolDialect& dialect = *spec_.dialect;
    const std::string begin = calls_begin(dialect);
    std::string start_marker;
    for (const std::string_view candidate : dialect.start_markers)
      if (begin.starts_with(candidate) && candidate.size() > start_marker.size())
        start_marker = candidate;
    std::vector<std::string> start_markers;
    add_start_markers(start_markers);
    if (!spec_.generation_prefix.empty() && !behind_thinking) {
      // The answer goes on behind a start marker: a call at once, or a text.
      ASSIGN_OR_RETURN(const std::string call, calls(false, 0));
      return lark_.one_of({call, before_content(false) + lark_.free_text(start_markers)});
    }
    const std::string before = before_content(behind_thinking);
    if (start_marker.empty()) {
      // Calls without a mark: the answer is calls, or text in which no call is found.
      ASSIGN_OR_RETURN(const std::string unmarked, calls(behind_thinking, 0));
      return lark_.one_of({unmarked, before + unmarked_text(start_markers)});
    }
    const std::string more = spec_.choice.parallel ? ")* " : ")? ";
    if (lark_.begins_with_mark(start_marker)) {
      ASSIGN_OR_RETURN(const std::string section, calls(behind_thinking, 0));
      return before + "(" + lark_.free_text(start_markers) + section + more +
             lark_.free_text(start_markers);
    }
    ASSIGN_OR_RETURN(const std::string section, calls(behind_thinking, start_marker.size()));
    std::vector<std::string> others = start_markers;
    std::erase(others, start_marker);
    return before + "(" + lark_.free_until({start_marker}, others) + section + more +
           lark_.free_text(start_markers);
  }

  std::string unmarked_text(std::vector<std::string> without) {
    for (const Tool& tool : callable_) {
      for (const std::string_view before : {"\"name\": \"", "\"name\":\""})
        without.push_back(std::string(before) + tool.name + "\"");
      without.push_back("[" + tool.name + "(");
    }
    return lark_.free_text(without);
  }

  const ConstraintSpec& spec_;
  LarkText lark_;
  std::vector<Tool> callable_;
  bool loose_ = false;
};

// The compiler's error, with the field that it is about: it sees only the whole.
Error placed(Error error, const ConstraintSpec& spec) {
  if (!error.param.empty()) return error;
  error.param = has_format(spec) ? spec.format_field : "tools";
  error.message = "Invalid '" + error.param + "': " + error.message;
  return error;
}

}  // namespace

Result<std::shared_ptr<const ConstraintPlan>> plan_constraint(const Model& model,
                                                              const ConstraintSpec& spec) {
  GrammarWriter answer(spec, *model.tokenizer);
  if (!has_format(spec) && !answer.holds_calls()) return std::shared_ptr<const ConstraintPlan>();
  CHECK(
      spec.tools.empty() || spec.choice.mode == ToolChoice::Mode::kNone || spec.dialect != nullptr,
      "tools without a dialect");
  CHECK(spec.thinking == Thinking::kNone || spec.reasoning != nullptr, "thinking without marks");
  std::shared_ptr<const text::GrammarVocabulary> vocabulary = model.grammar_vocabulary;
  if (vocabulary == nullptr)
    vocabulary = std::make_shared<text::GrammarVocabulary>(model.tokenizer, model.stop_tokens);
  const auto compile = [&](bool loose) -> Result<std::shared_ptr<const text::Grammar>> {
    GrammarWriter again(spec, *model.tokenizer);
    ASSIGN_OR_RETURN(const Source source, again.write(loose));
    return text::Grammar::compile(vocabulary, source.syntax, source.text);
  };
  Result<std::shared_ptr<const text::Grammar>> grammar = compile(false);
  // A schema that is only a wish must not fail the request.
  if (!grammar.ok() && answer.any_lenient()) grammar = compile(true);
  if (!grammar.ok()) return placed(grammar.error(), spec);
  auto plan = std::make_shared<const GrammarPlan>(*std::move(grammar));
  if (!answer.has_free_text()) return std::shared_ptr<const ConstraintPlan>(std::move(plan));
  return hold_unmarked_calls(std::move(plan), std::move(vocabulary), answer.callable(),
                             answer.reading());
}

}  // namespace pippin::service
