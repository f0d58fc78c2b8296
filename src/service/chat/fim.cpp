#include "service/chat/fim.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "service/chat/prompt.h"

namespace pippin::service {
namespace {

/// The marks of one family of models. Without `middle` the suffix comes first: SUFFIX, PREFIX.
struct Marks {
  std::string_view prefix, suffix, middle;
};

constexpr Marks kMarks[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},     // Qwen, CodeGemma, Seed
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},           // StarCoder, Granite
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},           // SantaCoder
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},     // DeepSeek
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},  // GLM
    {"▁<PRE>", "▁<SUF>", "▁<MID>"},                             // CodeLlama
    {"<PRE>", "<SUF>", "<MID>"},
    {"[PREFIX]", "[SUFFIX]", ""},  // Codestral
};

// Where the middle is over, beside the end of text.
constexpr std::string_view kEnds[] = {
    "<|fim_pad|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>", "<fim_pad>", "<file_sep>",
    "▁<EOT>",      "<EOT>",
};

struct Tokens {
  Token prefix = -1, suffix = -1;
  std::optional<Token> middle;
};

std::optional<Tokens> marks_of(const text::Tokenizer& tokenizer) {
  for (const Marks& marks : kMarks) {
    const std::optional<Token> prefix = tokenizer.token_of(marks.prefix);
    const std::optional<Token> suffix = tokenizer.token_of(marks.suffix);
    if (!prefix || !suffix) continue;
    if (marks.middle.empty()) return Tokens{*prefix, *suffix, std::nullopt};
    if (const std::optional<Token> middle = tokenizer.token_of(marks.middle))
      return Tokens{*prefix, *suffix, middle};
  }
  return std::nullopt;
}

// Encodes a part of the prompt, which must fit the context alone.
Result<std::vector<Token>> part_tokens(const Model& model, std::string_view text,
                                       std::string_view field) {
  return text_tokens(model, {{std::string(text), text::Specials::kText}}, false, field,
                     static_cast<size_t>(model.context_tokens_max));
}

Result<std::vector<Token>> before_tokens(const Model& model, const Prompt& prefix) {
  if (const auto* text = std::get_if<TextPrompt>(&prefix))
    return part_tokens(model, text->text, "prompt");
  CHECK(std::holds_alternative<TokenPrompt>(prefix), "a conversation has no middle");
  return prompt_tokens(model, prefix);
}

constexpr std::string_view kFileMarks[] = {"<|file_sep|>", "<file_sep>"};
constexpr std::string_view kSnippetMark = "\n\n--- snippet ---\n\n";

std::optional<Token> first_of(const text::Tokenizer& tokenizer,
                              std::span<const std::string_view> texts) {
  for (const std::string_view text : texts) {
    if (const std::optional<Token> token = tokenizer.token_of(text)) return token;
  }
  return std::nullopt;
}

Result<std::vector<Token>> others_tokens(const Model& model, std::span<const FimFile> others) {
  const text::Tokenizer& tokenizer = *model.tokenizer;
  std::vector<Token> tokens;
  const auto put = [&](std::string_view text) -> Result<void> {
    ASSIGN_OR_RETURN(const std::vector<Token> some, part_tokens(model, text, "input_extra"));
    tokens.insert(tokens.end(), some.begin(), some.end());
    return {};
  };
  const std::optional<Token> mark = first_of(tokenizer, kFileMarks);
  for (const FimFile& file : others) {
    if (mark) {
      tokens.push_back(*mark);
      RETURN_IF_ERROR(put(file.name + "\n"));
    } else {
      RETURN_IF_ERROR(put(kSnippetMark));
    }
    RETURN_IF_ERROR(put(file.text));
  }
  // The file with the gap is one more, of no name that is known.
  if (mark && !others.empty()) {
    tokens.push_back(*mark);
    RETURN_IF_ERROR(put("file\n"));
  }
  return tokens;
}

}  // namespace

bool has_fim_tokens(const std::function<bool(std::string_view)>& has_token) {
  return std::ranges::any_of(kMarks, [&](const Marks& marks) {
    return has_token(marks.prefix) && has_token(marks.suffix) &&
           (marks.middle.empty() || has_token(marks.middle));
  });
}

Result<FimPrompt> fim_prompt(const Model& model, const Prompt& prefix, std::string_view suffix,
                             std::span<const FimFile> others) {
  const text::Tokenizer& tokenizer = *model.tokenizer;
  const std::optional<Tokens> marks = marks_of(tokenizer);
  if (!marks) {
    return fail(Code::kUnsupported,
                "The model `" + model.id +
                    "` has no tokens for filling in the middle; send a prompt without 'suffix'.",
                "suffix");
  }
  ASSIGN_OR_RETURN(const std::vector<Token> before, before_tokens(model, prefix));
  ASSIGN_OR_RETURN(const std::vector<Token> after, part_tokens(model, suffix, "suffix"));
  ASSIGN_OR_RETURN(const std::vector<Token> first, others_tokens(model, others));
  FimPrompt out;
  const auto put = [&out](Token mark, const std::vector<Token>& text) {
    out.prompt.push_back(mark);
    out.prompt.insert(out.prompt.end(), text.begin(), text.end());
  };
  if (tokenizer.adds_bos() && tokenizer.bos()) out.prompt.push_back(*tokenizer.bos());
  out.prompt.insert(out.prompt.end(), first.begin(), first.end());
  if (marks->middle) {
    put(marks->prefix, before);
    put(marks->suffix, after);
    out.prompt.push_back(*marks->middle);
    out.stop_tokens.push_back(*marks->middle);
  } else {
    put(marks->suffix, after);
    put(marks->prefix, before);
  }
  out.stop_tokens.push_back(marks->prefix);
  out.stop_tokens.push_back(marks->suffix);
  for (const std::string_view text : kEnds) {
    if (const std::optional<Token> end = tokenizer.token_of(text)) out.stop_tokens.push_back(*end);
  }
  return out;
}

}  // namespace pippin::service
