#include "api/openai/responses/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "service/chat/prompt.h"

namespace pippin::api::openai::responses {
namespace {

using service::Conversation;
using service::Message;
using service::Role;

constexpr int kAnswerTokens = 256;  // room for an answer whose length is not limited

// Of all texts that are rendered to find what fits.
constexpr size_t kRenderedBytesMax = size_t{64} << 20;

bool is_head(const Message& message) {
  return message.role == Role::kSystem || message.role == Role::kDeveloper;
}

// Returns the conversation without the messages in [begin, end).
Conversation without(const Conversation& whole, size_t begin, size_t end) {
  Conversation part = whole;
  part.messages.erase(part.messages.begin() + static_cast<std::ptrdiff_t>(begin),
                      part.messages.begin() + static_cast<std::ptrdiff_t>(end));
  return part;
}

}  // namespace

Result<void> fit(const service::Model& model, service::Request& request) {
  auto& whole = std::get<Conversation>(request.prompts.front());
  const int context = model.context_tokens_max;
  const int room = std::min(request.max_tokens.value_or(kAnswerTokens), context / 4);
  size_t rendered_bytes = 0;
  const auto fits = [&](const Conversation& part) -> Result<bool> {
    rendered_bytes += service::text_bytes(part);
    if (rendered_bytes > kRenderedBytesMax)
      return fail(Code::kContextLength,
                  fmt::format("The input is so much longer than this model's maximum context "
                              "length of {} tokens that it is not cut to it.",
                              context),
                  "input");
    const auto most = static_cast<size_t>(context - room) + 1;
    const Result<service::RenderedPrompt> rendered = service::render_prompt(model, part, most);
    if (!rendered.ok() && rendered.error().code != Code::kContextLength) return rendered.error();
    return rendered.ok();
  };
  ASSIGN_OR_RETURN(const bool fits_whole, fits(whole));
  if (fits_whole) return {};
  const size_t head = static_cast<size_t>(std::ranges::find_if_not(whole.messages, is_head) -
                                          whole.messages.begin());
  std::vector<size_t> turns;  // where what is kept may begin
  for (size_t i = head + 1; i < whole.messages.size(); ++i) {
    if (whole.messages[i].role == Role::kUser) turns.push_back(i);
  }
  size_t low = 0, high = turns.size();  // the first turn from which on it fits is in [low, high]
  while (low < high) {
    const size_t middle = (low + high) / 2;
    ASSIGN_OR_RETURN(const bool enough, fits(without(whole, head, turns[middle])));
    if (enough) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  if (low < turns.size()) whole = without(whole, head, turns[low]);
  return {};
}

}  // namespace pippin::api::openai::responses
