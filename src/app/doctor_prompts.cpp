#include "app/doctor_prompts.h"

#include <fmt/format.h>

#include <string>

namespace pippin::app {
namespace {

constexpr int kMonitorTokens = 24;

// Of many kinds and lengths, since a kernel may be wrong for some shapes only.
constexpr const char* kTexts[] = {
    "The",
    "Once upon a time, in a village by the sea,",
    "Question: What is the capital of France?\nAnswer:",
    "def is_prime(n):\n    \"\"\"Returns whether n is a prime number.\"\"\"\n",
    "{\"name\": \"Ada\", \"born\": 1815, \"known_for\": [\"",
    "The three states of water are ice, which is solid, water, which is liquid, and vapour, which "
    "is "
    "a gas. When ice is heated it",
    "Dear Sir or Madam,\n\nI write to you about the bicycle that I bought in your shop last "
    "Tuesday. "
    "It is red, as I had asked, and the bell rings well, but the saddle is so low that my knees "
    "touch "
    "the handlebar, and the back wheel is smaller than the front one by the width of a hand. My "
    "neighbour, who knows about bicycles, says that it must have been two bicycles once. I would "
    "therefore like to ask you",
};

/// A text of about a thousand tokens: longer than a chunk, and than most sliding windows.
std::string long_text() {
  std::string text = "Stock of the warehouse, shelf by shelf.\n";
  for (int i = 1; i <= 48; ++i) {
    text += fmt::format("Shelf {}: {} boxes of nails, {} of screws and {} of hooks.\n", i,
                        i * 7 % 23, i * 5 % 19, i * 11 % 17);
  }
  return text + "The shelf with the most nails is number";
}

Result<engine::Submission> prompt_of(const text::Tokenizer& tokenizer, const std::string& text,
                                     int tokens) {
  engine::Submission prompt;
  ASSIGN_OR_RETURN(prompt.tokens, tokenizer.encode(text, true, text::Specials::kText));
  prompt.sampling.temperature = 0;
  prompt.stop.max_tokens = tokens;
  prompt.stop.ignore_eos = true;
  return prompt;
}

engine::Submission drawn(engine::Submission prompt, uint64_t seed) {
  prompt.sampling.temperature = 1;  // a draw shows differences that an argmax hides
  prompt.sampling.seed = seed;
  return prompt;
}

}  // namespace

Result<std::vector<engine::Submission>> doctor_prompts(const text::Tokenizer& tokenizer,
                                                       int tokens) {
  std::vector<std::string> texts(std::begin(kTexts), std::end(kTexts));
  texts.push_back(long_text());
  std::vector<engine::Submission> prompts;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(engine::Submission prompt, prompt_of(tokenizer, text, tokens));
    const uint64_t seed = prompts.size() + 1;
    prompts.push_back(prompt);
    prompts.push_back(drawn(std::move(prompt), seed));
  }
  return prompts;
}

Result<std::vector<engine::Submission>> monitor_prompts(const text::Tokenizer& tokenizer) {
  std::vector<engine::Submission> prompts;
  for (const size_t text : {size_t{1}, size_t{5}}) {
    ASSIGN_OR_RETURN(engine::Submission prompt, prompt_of(tokenizer, kTexts[text], kMonitorTokens));
    prompts.push_back(prompt);
    prompts.push_back(drawn(std::move(prompt), text));
  }
  return prompts;
}

}  // namespace pippin::app
