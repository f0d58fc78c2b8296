#include "api/ollama/modelfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "service/json.h"

namespace pippin::api::ollama {
namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kRoles[] = {"system", "user", "assistant"};

std::string upper(std::string_view word) {
  std::string out(word);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

/// Reads words, lines and quoted texts, and counts lines.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int line() const { return line_; }
  /// Skips blank lines and comments. Returns false at the end.
  bool next_instruction() {
    while (true) {
      skip(std::min(rest_.find_first_not_of(kBlank), rest_.size()));
      if (!rest_.starts_with('#')) return !rest_.empty();
      skip(std::min(rest_.find('\n'), rest_.size()));
    }
  }
  /// The next word of this line; empty at its end.
  std::string_view word() {
    skip(std::min(rest_.find_first_not_of(" \t\r"), rest_.size()));
    const std::string_view word = rest_.substr(0, rest_.find_first_of(kBlank));
    skip(word.size());
    return word;
  }
  /// The rest of this line, or what stands between quotes, which may hold lines. Returns nothing if
  /// the quotes do not end.
  std::optional<std::string> value() {
    skip(std::min(rest_.find_first_not_of(" \t\r"), rest_.size()));
    for (const std::string_view quote : {"\"\"\"", "\""}) {
      if (!rest_.starts_with(quote)) continue;
      const size_t end = rest_.find(quote, quote.size());
      if (end == std::string_view::npos) return std::nullopt;
      std::string text(rest_.substr(quote.size(), end - quote.size()));
      skip(end + quote.size());
      return text;
    }
    const std::string_view whole = rest_.substr(0, rest_.find('\n'));
    const size_t end = whole.find_last_not_of(kBlank);
    std::string text(whole.substr(0, end == std::string_view::npos ? 0 : end + 1));
    skip(whole.size());
    return text;
  }

 private:
  void skip(size_t bytes) {
    line_ += static_cast<int>(std::ranges::count(rest_.substr(0, bytes), '\n'));
    rest_.remove_prefix(bytes);
  }

  std::string_view rest_;
  int line_ = 1;
};

// A number or a boolean where the text is one, else the text.
boost::json::value parameter_value(const std::string& text) {
  const Result<boost::json::value> parsed = service::parse_json(text);
  if (parsed.ok() && (parsed->is_number() || parsed->is_bool())) return *parsed;
  return boost::json::string(text);
}

void add_parameter(std::string_view name, const std::string& text, boost::json::object& to) {
  if (name != "stop") {
    to[name] = parameter_value(text);
    return;
  }
  boost::json::value& stops = to["stop"];
  if (!stops.is_array()) stops.emplace_array();
  stops.get_array().emplace_back(text);
}

// Reads one instruction's value. Returns what is wrong with it; empty: nothing.
std::string read_instruction(const std::string& name, Scanner& scanner, Modelfile& to) {
  std::string_view first;
  if (name == "PARAMETER" || name == "MESSAGE") {
    first = scanner.word();
    if (first.empty()) return fmt::format("{} without a name", name);
  }
  std::optional<std::string> value = scanner.value();
  if (!value) return fmt::format("{}: the quotes do not end", name);
  if (value->empty() && name != "SYSTEM" && name != "TEMPLATE")
    return fmt::format("{} without a value", name);
  if (name == "FROM") {
    to.from = *value;
  } else if (name == "SYSTEM") {
    to.system = *value;
  } else if (name == "TEMPLATE") {
    to.template_text = *value;
  } else if (name == "LICENSE") {
    to.license += (to.license.empty() ? "" : "\n") + *value;
  } else if (name == "ADAPTER") {
    to.adapter = *value;
  } else if (name == "PARAMETER") {
    add_parameter(first, *value, to.parameters);
  } else if (name == "MESSAGE") {
    if (std::ranges::find(kRoles, first) == std::end(kRoles))
      return fmt::format("MESSAGE: the role must be system, user or assistant, not {}", first);
    to.messages.push_back(boost::json::object{{"role", first}, {"content", *value}});
  } else if (name != "REQUIRES") {  // a version of Ollama
    return fmt::format("{} is no instruction of a Modelfile", name);
  }
  return {};
}

}  // namespace

Result<Modelfile> parse_modelfile(std::string_view text) {
  Modelfile file;
  Scanner scanner(text);
  while (scanner.next_instruction()) {
    const int line = scanner.line();
    const std::string name = upper(scanner.word());
    const std::string wrong = read_instruction(name, scanner, file);
    if (!wrong.empty()) {
      return fail(Code::kInvalidArgument, fmt::format("Modelfile, line {}: {}", line, wrong),
                  "modelfile");
    }
  }
  if (file.from.empty())
    return fail(Code::kInvalidArgument, "The Modelfile has no FROM", "modelfile");
  return file;
}

}  // namespace pippin::api::ollama
