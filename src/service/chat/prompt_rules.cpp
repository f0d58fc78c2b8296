#include "service/chat/prompt_rules.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/ascii.h"

namespace pippin::service {
namespace {

constexpr std::string_view kBillingHeader = "x-anthropic-billing-header:";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_system(const Message& message) {
  return message.role == Role::kSystem || message.role == Role::kDeveloper;
}

/// Takes the lines that fit out of a message's texts, and returns them. A part that is left empty
/// goes, too.
template <typename Fits>
std::vector<std::string> take_lines(Message& message, Fits fits) {
  std::vector<std::string> taken;
  for (Part& part : message.parts) {
    std::string& text = std::get<TextPart>(part).text;
    std::string left;
    size_t found = taken.size();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = std::string_view(text).substr(at, end - at);
      const size_t next = std::min(end + 1, text.size());
      if (fits(line)) {
        taken.emplace_back(line);
      } else {
        left += std::string_view(text).substr(at, next - at);
      }
      at = next;
    }
    if (taken.size() != found) text = std::move(left);
  }
  if (!taken.empty())
    std::erase_if(message.parts,
                  [](const Part& part) { return std::get<TextPart>(part).text.empty(); });
  return taken;
}

/// Moves lines of the head, the system message that begins the conversation, to the front of the
/// first user message: that is the same in every turn of a conversation, and what is in front of it
/// is the same in every conversation.
template <typename Fits>
bool move_lines_to_user(Conversation& conversation, Fits fits) {
  std::vector<Message>& messages = conversation.messages;
  if (messages.empty() || !is_system(messages.front())) return false;
  const auto user = std::ranges::find(messages, Role::kUser, &Message::role);
  if (user == messages.end()) return false;
  const std::vector<std::string> lines = take_lines(messages.front(), fits);
  if (lines.empty()) return false;
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  user->parts.insert(user->parts.begin(), TextPart{std::move(text)});
  return true;
}

/// Returns what follows one of the beginnings, which are in lower case; list marks in front of it
/// do not count.
std::optional<std::string_view> after_one_of(std::string_view line,
                                             std::span<const std::string_view> beginnings) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t-*#>"), line.size()));
  const std::string text = ascii_lower(line.substr(0, 64));
  for (const std::string_view beginning : beginnings) {
    if (text.starts_with(beginning)) return line.substr(beginning.size());
  }
  return std::nullopt;
}

bool is_dated(std::string_view line) {
  constexpr std::string_view kBeginnings[] = {
      "today's date", "today\u2019s date", "today is",     "current date", "the current date",
      "current time", "the current time",  "current year", "date:",        "time:"};
  const auto rest = after_one_of(line, kBeginnings);
  return rest && rest->size() <= 80 && std::ranges::any_of(*rest, is_digit);
}

bool is_session_id(std::string_view line) {
  constexpr std::string_view kBeginnings[] = {
      "session id:", "session_id:", "conversation id:", "conversation_id:", "request id:",
      "request_id:", "chat id:",    "chat_id:",         "trace id:",        "trace_id:"};
  constexpr size_t kShortest = 8;
  auto rest = after_one_of(line, kBeginnings);
  if (!rest) return false;
  rest->remove_prefix(std::min(rest->find_first_not_of(" `\""), rest->size()));
  return rest->size() >= kShortest && rest->size() <= 80 && std::ranges::any_of(*rest, is_digit) &&
         rest->find(' ') == std::string_view::npos;
}

bool strip_billing_header(Conversation& conversation) {
  bool changed = false;
  for (Message& message : conversation.messages) {
    if (!is_system(message)) continue;
    const auto is_header = [](std::string_view line) { return line.starts_with(kBillingHeader); };
    changed = !take_lines(message, is_header).empty() || changed;
  }
  // One that held nothing else says nothing.
  if (changed)
    std::erase_if(conversation.messages, [](const Message& message) {
      return is_system(message) && message.parts.empty();
    });
  return changed;
}

bool order_tools(Conversation& conversation) {
  if (std::ranges::is_sorted(conversation.tools, {}, &Tool::name)) return false;
  std::ranges::stable_sort(conversation.tools, {}, &Tool::name);
  return true;
}

constexpr PromptRule kRules[] = {
    {"billing_header",
     "Strips the line of the system prompt that begins with `x-anthropic-billing-header:`; Claude "
     "Code changes it with each request",
     strip_billing_header},
    {"tool_order", "Shows the tools ordered by name, in whatever order they are sent", order_tools},
    {"date_line",
     "Moves lines that tell the date or the time (`Today's date: ...`) from the system prompt to "
     "the front of the first user message",
     [](Conversation& conversation) { return move_lines_to_user(conversation, is_dated); }},
    {"session_id",
     "Moves lines that tell the id of a session, conversation, chat, request or trace (`Session "
     "ID: ...`) likewise",
     [](Conversation& conversation) { return move_lines_to_user(conversation, is_session_id); }},
};

}  // namespace

std::span<const PromptRule> prompt_rules() { return kRules; }

Result<PromptRules> PromptRules::of(std::span<const std::string> names) {
  PromptRules rules;
  for (const std::string& name : names) {
    if (name == "none") continue;
    const PromptRule* found = std::ranges::find(kRules, name, &PromptRule::name);
    if (name == "all") {
      rules.on_ = (1U << std::size(kRules)) - 1;
    } else if (found != std::end(kRules)) {
      rules.on_ |= 1U << (found - std::begin(kRules));
    } else {
      std::string known = "all, none";
      for (const PromptRule& rule : kRules) known += ", " + std::string(rule.name);
      return fail(Code::kInvalidArgument,
                  "expected rules for prompts out of " + known + "; got \"" + name + "\"",
                  "prompt_rules");
    }
  }
  return rules;
}

std::vector<std::string_view> PromptRules::apply(Conversation& conversation) const {
  std::vector<std::string_view> changed;
  for (size_t i = 0; i < std::size(kRules); ++i) {
    if ((on_ >> i & 1U) != 0 && kRules[i].apply(conversation)) changed.push_back(kRules[i].name);
  }
  return changed;
}

}  // namespace pippin::service
