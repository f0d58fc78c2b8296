#include "api/ollama/go_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace pippin::api::ollama {
namespace {

using service::Conversation;
using service::Message;
using service::Role;
using text::Span;

constexpr size_t kNestingMax = 16;

// What a template may make of a request: each turn writes the template's own text once and what was
// said a few times. Real templates say it once; no context holds a text of the ceiling.
constexpr size_t kTimesSaid = 8;
constexpr size_t kBytesMax = size_t{32} << 20;

enum class Variable : uint8_t { kSystem, kPrompt, kResponse, kSuffix };
constexpr std::pair<std::string_view, Variable> kVariables[] = {
    {".System", Variable::kSystem},
    {".Prompt", Variable::kPrompt},
    {".Response", Variable::kResponse},
    {".Suffix", Variable::kSuffix},
};

/// One piece of a template, in order. A kIf whose variable is empty goes on behind its else or end;
/// a kElse that is reached goes on behind its end.
struct Piece {
  enum class Kind : uint8_t { kText, kValue, kIf, kElse, kEnd } kind = Kind::kText;
  std::string_view text;  // of kText
  Variable variable = Variable::kPrompt;
  size_t jump = 0;  // of kIf and kElse: the piece to go on with
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  const size_t end = text.find_last_not_of(kSpace);
  return end == std::string_view::npos ? std::string_view{} : text.substr(begin, end + 1 - begin);
}

std::optional<Variable> variable_of(std::string_view name) {
  for (const auto& [known, variable] : kVariables) {
    if (known == name) return variable;
  }
  return std::nullopt;
}

Error not_understood(std::string_view action) {
  return fail(Code::kUnsupported,
              fmt::format("The template's {{{{ {} }}}} is not supported: only .System, .Prompt, "
                          ".Response and if, else, end around them are. The model's own chat "
                          "template is used without 'template'.",
                          action.substr(0, 80)),
              "template");
}

Result<Piece> action_of(std::string_view action) {
  if (action == "end") return Piece{.kind = Piece::Kind::kEnd};
  if (action == "else") return Piece{.kind = Piece::Kind::kElse};
  if (const std::optional<Variable> value = variable_of(action))
    return Piece{.kind = Piece::Kind::kValue, .variable = *value};
  if (action.starts_with("if ")) {
    if (const std::optional<Variable> value = variable_of(trimmed(action.substr(3))))
      return Piece{.kind = Piece::Kind::kIf, .variable = *value};
  }
  return not_understood(action);
}

// Sets where each kIf and kElse goes on.
Result<void> link(std::vector<Piece>& pieces) {
  std::vector<size_t> open;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece::Kind kind = pieces[i].kind;
    if (kind == Piece::Kind::kIf) {
      open.push_back(i);
      if (open.size() > kNestingMax) return not_understood("if, nested too deep");
    } else if (kind == Piece::Kind::kElse || kind == Piece::Kind::kEnd) {
      if (open.empty()) return not_understood(kind == Piece::Kind::kEnd ? "end" : "else");
      if (kind == Piece::Kind::kElse && pieces[open.back()].kind == Piece::Kind::kElse)
        return not_understood("else");
      pieces[open.back()].jump = i + 1;
      open.pop_back();
      if (kind == Piece::Kind::kElse) open.push_back(i);
    }
  }
  if (!open.empty()) return not_understood("if without end");
  return {};
}

Result<std::vector<Piece>> parse(std::string_view text) {
  std::vector<Piece> pieces;
  bool trim_next = false;
  while (true) {
    const size_t open = std::min(text.find("{{"), text.size());
    std::string_view plain = text.substr(0, open);
    const bool trim_before = text.substr(open).starts_with("{{-");
    if (trim_next) plain.remove_prefix(std::min(plain.find_first_not_of(" \t\r\n"), plain.size()));
    if (trim_before) plain = plain.substr(0, plain.find_last_not_of(" \t\r\n") + 1);
    if (!plain.empty()) pieces.push_back({.text = plain});
    if (open == text.size()) break;
    const size_t close = text.find("}}", open);
    if (close == std::string_view::npos) return not_understood(text.substr(open));
    std::string_view action = text.substr(open + 2, close - open - 2);
    if (trim_before) action.remove_prefix(1);
    trim_next = action.ends_with(" -") || action == "-";
    if (trim_next) action.remove_suffix(1);
    action = trimmed(action);
    if (!action.starts_with("/*")) {
      ASSIGN_OR_RETURN(Piece piece, action_of(action));
      pieces.push_back(piece);
    }
    text.remove_prefix(close + 2);
  }
  RETURN_IF_ERROR(link(pieces));
  return pieces;
}

/// One turn: what was said, and what is answered.
struct Turn {
  std::string system, prompt;
  std::optional<std::string> response;  // none: it is to be generated

  std::string_view value_of(Variable variable) const {
    switch (variable) {
      case Variable::kSystem:
        return system;
      case Variable::kPrompt:
        return prompt;
      case Variable::kResponse:
        return response ? std::string_view(*response) : std::string_view{};
      case Variable::kSuffix:
        return {};
    }
    return {};
  }
};

/// The spans of a rendered text, up to a number of bytes.
class Output {
 public:
  explicit Output(size_t bytes_max) : bytes_max_(bytes_max), left_(bytes_max) {}

  void put(std::string_view text, text::Specials specials) {
    over_ = over_ || text.size() > left_;
    if (text.empty() || over_) return;
    left_ -= text.size();
    spans_.push_back({std::string(text), specials});
  }

  bool is_over() const { return over_; }
  Result<std::vector<Span>> take() {
    if (!over_) return std::move(spans_);
    return fail(Code::kTooLarge,
                fmt::format("The template makes more than {} bytes of this request", bytes_max_),
                "template");
  }

 private:
  const size_t bytes_max_;
  size_t left_;
  bool over_ = false;
  std::vector<Span> spans_;
};

// Runs the template once. `open`: it ends where the response would stand, or behind the text.
void run(const std::vector<Piece>& pieces, const Turn& turn, bool open, Output& to) {
  bool answered = false;
  for (size_t i = 0; i < pieces.size() && !to.is_over(); ++i) {
    const Piece& piece = pieces[i];
    const bool response = piece.variable == Variable::kResponse;
    if (piece.kind == Piece::Kind::kText) {
      to.put(piece.text, text::Specials::kParse);
    } else if (piece.kind == Piece::Kind::kValue) {
      to.put(turn.value_of(piece.variable), text::Specials::kText);
      answered = answered || response;
      if (response && open) return;
    } else if (piece.kind == Piece::Kind::kIf) {
      // A response that is to be generated is there for an if around it.
      const bool there = (response && open) || !turn.value_of(piece.variable).empty();
      if (!there) i = piece.jump - 1;
    } else if (piece.kind == Piece::Kind::kElse) {
      i = piece.jump - 1;
    }
  }
  // Without a place of its own the response follows the text.
  if (!answered) to.put(turn.value_of(Variable::kResponse), text::Specials::kText);
}

std::string text_of(const Message& message) {
  std::string text;
  for (const service::Part& part : message.parts) text += std::get<service::TextPart>(part).text;
  return text;
}

void join(std::string& to, const std::string& text) {
  if (!to.empty() && !text.empty()) to += "\n\n";
  to += text;
}

// Messages become turns: all up to an answer of the assistant is one.
std::vector<Turn> turns_of(const Conversation& conversation) {
  std::vector<Turn> turns(1);
  for (const Message& message : conversation.messages) {
    if (message.role == Role::kAssistant) {
      turns.back().response = text_of(message);
      turns.emplace_back();
    } else {
      const bool system = message.role == Role::kSystem || message.role == Role::kDeveloper;
      join(system ? turns.back().system : turns.back().prompt, text_of(message));
    }
  }
  // A last answer is gone on with.
  if (conversation.continue_final_message) turns.pop_back();
  return turns;
}

size_t bytes_max(std::string_view text, const std::vector<Turn>& turns) {
  size_t bytes = text.size() * turns.size();
  for (const Turn& turn : turns) {
    const size_t response = turn.response ? turn.response->size() : 0;
    bytes += kTimesSaid * (turn.system.size() + turn.prompt.size() + response);
  }
  return std::min(bytes, kBytesMax);
}

}  // namespace

Result<void> check_go_template(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<Piece> pieces, parse(text));
  return {};
}

Result<std::vector<Span>> render_go_template(std::string_view text,
                                             const Conversation& conversation) {
  if (!conversation.tools.empty()) {
    return fail(Code::kUnsupported, "The model's template has no words for tools", "tools");
  }
  ASSIGN_OR_RETURN(const std::vector<Piece> pieces, parse(text));
  const std::vector<Turn> turns = turns_of(conversation);
  Output output(bytes_max(text, turns));
  for (size_t i = 0; i < turns.size() && !output.is_over(); ++i)
    run(pieces, turns[i], i + 1 == turns.size(), output);
  return output.take();
}

}  // namespace pippin::api::ollama
