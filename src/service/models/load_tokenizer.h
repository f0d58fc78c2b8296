// read_tokenizer: a checkpoint's tokenizer, and the tokens that end its answers. Thread: any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core/types.h"
#include "store/checkpoint.h"
#include "text/tokenizer.h"

namespace pippin::service {

struct LoadedTokenizer {
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::string bos_text, eos_text;   // what templates call bos_token and eos_token
  std::vector<engine::Token> ends;  // each ends an answer
};

/// `vocab`: how many tokens the model has. Errors: kNotFound, where a folder has none;
/// kInvalidFile, naming the key or the file; kUnsupported.
Result<LoadedTokenizer> read_tokenizer(const store::Checkpoint& checkpoint, int vocab);

/// The same for a GGUF file of any model.
Result<LoadedTokenizer> read_tokenizer(const store::GgufFile& file);

/// Returns what a folder's files say beside its tokenizer.json.
text::TokenizerConfig tokenizer_config(const store::HfTokenizerFiles& files, int vocab);

/// Returns whether the model can fill in the middle, told by its vocabulary.
bool supports_fim(const store::Checkpoint& checkpoint);

}  // namespace pippin::service
