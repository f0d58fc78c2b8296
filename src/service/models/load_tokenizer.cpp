#include "service/models/load_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "service/chat/fim.h"

namespace pippin::service {
namespace {

using engine::Token;

// Texts of tokens that end a turn, in the families that write them. A file often names only one of
// its two.
// "</s>" and "<eos>" are left to the file's own eos: as text they are too common to be trusted.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|eom_id|>",  // llama 3
    "<|im_end|>",  // ChatML
    "<|endoftext|>",
    "<|end_of_text|>",  // GPT-2, granite
    "<|end|>",          // phi
    "<|return|>",
    "<|call|>",  // harmony
    "<|calls|>",
    "<|flush|>",  // solar
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",  // gemma
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",  // code llama, kimi
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "[e~[",  // smoldocling, deepseek, minimax
};

// In these two families "<|end|>" closes a message, but not the turn.
constexpr std::pair<std::string_view, std::string_view> kEndIsNotTheEnd[] = {
    {"<|return|>", "<|call|>"}, {"<|calls|>", "<|flush|>"}};

// Returns the token id under a key, if the key is there and the id is one.
Result<std::optional<Token>> token_at(const store::GgufFile& file, std::string_view key,
                                      size_t vocab) {
  if (file.find(key) == nullptr) return std::optional<Token>{};
  ASSIGN_OR_RETURN(const int64_t id, file.integer(key));
  // Converters write -1 or 2^32 - 1 for "none".
  if (id < 0 || static_cast<uint64_t>(id) >= vocab) return std::optional<Token>{};
  return std::optional<Token>(static_cast<Token>(id));
}

Result<std::optional<bool>> flag_at(const store::GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::optional<bool>{};
  ASSIGN_OR_RETURN(const bool flag, file.boolean(key));
  return std::optional<bool>(flag);
}

// Returns a string under a key, or "" if there is none.
Result<std::string> text_at(const store::GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::string();
  ASSIGN_OR_RETURN(const std::string_view text, file.string(key));
  return std::string(text);
}

Result<std::vector<std::string>> texts_at(const store::GgufFile& file, std::string_view key) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view>* texts, file.strings(key));
  return std::vector<std::string>(texts->begin(), texts->end());
}

/// Copies what a GGUF file says of its tokenizer.
Result<text::GgufVocabulary> read_vocabulary(const store::GgufFile& file) {
  text::GgufVocabulary vocabulary;
  ASSIGN_OR_RETURN(const std::string_view model, file.string("tokenizer.ggml.model"));
  vocabulary.model = model;
  ASSIGN_OR_RETURN(vocabulary.pre, text_at(file, "tokenizer.ggml.pre"));
  ASSIGN_OR_RETURN(vocabulary.tokens, texts_at(file, "tokenizer.ggml.tokens"));
  if (vocabulary.tokens.size() > static_cast<size_t>(std::numeric_limits<Token>::max())) {
    return fail(Code::kInvalidFile, "[load] too many tokens", "tokenizer.ggml.tokens");
  }
  if (file.find("tokenizer.ggml.merges") != nullptr) {
    ASSIGN_OR_RETURN(vocabulary.merges, texts_at(file, "tokenizer.ggml.merges"));
  }
  if (file.find("tokenizer.ggml.scores") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<double>* scores, file.numbers("tokenizer.ggml.scores"));
    vocabulary.scores.assign(scores->begin(), scores->end());
  }
  if (file.find("tokenizer.ggml.token_type") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<int64_t>* types, file.integers("tokenizer.ggml.token_type"));
    for (const int64_t type : *types)
      vocabulary.token_types.push_back(static_cast<int32_t>(std::clamp<int64_t>(type, 0, 255)));
  }
  const size_t size = vocabulary.tokens.size();
  ASSIGN_OR_RETURN(vocabulary.bos, token_at(file, "tokenizer.ggml.bos_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.eos, token_at(file, "tokenizer.ggml.eos_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.unk, token_at(file, "tokenizer.ggml.unknown_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.pad, token_at(file, "tokenizer.ggml.padding_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.sep,
                   token_at(file, "tokenizer.ggml.seperator_token_id", size));  // its own spelling
  ASSIGN_OR_RETURN(vocabulary.add_bos, flag_at(file, "tokenizer.ggml.add_bos_token"));
  ASSIGN_OR_RETURN(vocabulary.add_eos, flag_at(file, "tokenizer.ggml.add_eos_token"));
  ASSIGN_OR_RETURN(vocabulary.add_space_prefix, flag_at(file, "tokenizer.ggml.add_space_prefix"));
  ASSIGN_OR_RETURN(vocabulary.remove_extra_whitespaces,
                   flag_at(file, "tokenizer.ggml.remove_extra_whitespaces"));
  ASSIGN_OR_RETURN(vocabulary.lowercase, flag_at(file, "tokenizer.ggml.normalizer.lowercase"));
  ASSIGN_OR_RETURN(vocabulary.strip_accents,
                   flag_at(file, "tokenizer.ggml.normalizer.strip_accents"));
  if (file.find("tokenizer.ggml.precompiled_charsmap") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<int64_t>* map,
                     file.integers("tokenizer.ggml.precompiled_charsmap"));
    for (const int64_t byte : *map)
      vocabulary.precompiled_charsmap.push_back(static_cast<char>(byte & 0xFF));
  }
  return vocabulary;
}

// Tokens that the files name come first; then control tokens that are known by their text.
std::vector<Token> with_known_ends(const std::vector<std::optional<Token>>& named,
                                   const text::Tokenizer& tokenizer) {
  std::vector<Token> ends;
  const auto add = [&](std::optional<Token> token) {
    if (token && std::ranges::find(ends, *token) == ends.end()) ends.push_back(*token);
  };
  add(tokenizer.eos());
  for (const std::optional<Token> token : named) add(token);
  for (const std::string_view text : kEndTexts) add(tokenizer.token_of(text));
  for (const auto& [one, other] : kEndIsNotTheEnd) {
    const std::optional<Token> end = tokenizer.token_of("<|end|>");
    if (end && tokenizer.token_of(one) && tokenizer.token_of(other)) std::erase(ends, *end);
  }
  return ends;
}

Result<LoadedTokenizer> read_folder(const store::HfFolder& folder, int vocab) {
  ASSIGN_OR_RETURN(const store::HfTokenizerFiles files, folder.tokenizer());
  LoadedTokenizer loaded;
  ASSIGN_OR_RETURN(loaded.tokenizer,
                   text::Tokenizer::from_json(files.json, tokenizer_config(files, vocab)));
  const auto text_of = [&](std::optional<Token> token, const std::string& named) {
    return token ? loaded.tokenizer->token_bytes(*token, true) : named;
  };
  loaded.bos_text = text_of(loaded.tokenizer->bos(), files.bos);
  loaded.eos_text = text_of(loaded.tokenizer->eos(), files.eos);
  std::vector<std::optional<Token>> named;
  for (const int64_t id : files.end_ids)
    if (id >= 0 && id < vocab) named.push_back(static_cast<Token>(id));
  loaded.ends = with_known_ends(named, *loaded.tokenizer);
  return loaded;
}

}  // namespace

text::TokenizerConfig tokenizer_config(const store::HfTokenizerFiles& files, int vocab) {
  return {files.bos, files.eos, files.add_bos, files.add_eos, static_cast<size_t>(vocab)};
}

Result<LoadedTokenizer> read_tokenizer(const store::GgufFile& file) {
  ASSIGN_OR_RETURN(const text::GgufVocabulary vocabulary, read_vocabulary(file));
  LoadedTokenizer loaded;
  ASSIGN_OR_RETURN(loaded.tokenizer, text::Tokenizer::from_gguf(vocabulary));
  const auto text_of = [&](std::optional<Token> token) {
    return token ? vocabulary.tokens[static_cast<size_t>(*token)] : std::string();
  };
  loaded.bos_text = text_of(loaded.tokenizer->bos());
  loaded.eos_text = text_of(loaded.tokenizer->eos());
  std::vector<std::optional<Token>> named;
  for (const std::string_view name : {"eos", "eot", "eom"}) {
    const auto token = token_at(file, fmt::format("tokenizer.ggml.{}_token_id", name),
                                static_cast<size_t>(loaded.tokenizer->vocab_size()));
    if (token.ok()) named.push_back(*token);
  }
  loaded.ends = with_known_ends(named, *loaded.tokenizer);
  return loaded;
}

Result<LoadedTokenizer> read_tokenizer(const store::Checkpoint& checkpoint, int vocab) {
  if (const store::HfFolder* folder = checkpoint.folder()) return read_folder(*folder, vocab);
  ASSIGN_OR_RETURN(LoadedTokenizer loaded, read_tokenizer(*checkpoint.gguf()));
  // A token beyond the embedding would be read from behind it.
  if (loaded.tokenizer->vocab_size() > vocab)
    return fail(Code::kInvalidFile,
                fmt::format("[load] {}: the tokenizer has {} tokens, the model {}",
                            checkpoint.path(), loaded.tokenizer->vocab_size(), vocab),
                "tokenizer.ggml.tokens");
  return loaded;
}

bool supports_fim(const store::Checkpoint& checkpoint) {
  if (const store::HfFolder* folder = checkpoint.folder()) {
    const Result<store::HfTokenizerFiles> files = folder->tokenizer();
    // As text: to read the whole vocabulary for this would take a second.
    return files.ok() && has_fim_tokens([&](std::string_view text) {
             return files->json.find(fmt::format("\"{}\"", text)) != std::string::npos;
           });
  }
  const Result<const std::vector<std::string_view>*> tokens =
      checkpoint.gguf()->strings("tokenizer.ggml.tokens");
  if (!tokens.ok()) return false;
  return has_fim_tokens(
      [&](std::string_view text) { return std::ranges::find(**tokens, text) != (*tokens)->end(); });
}

}  // namespace pippin::service
