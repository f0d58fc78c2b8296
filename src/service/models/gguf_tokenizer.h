// gguf_tokenizer: the keys by which a GGUF file of a folder says its tokenizer and chat template.
// Plain functions; thread: any. Source: the GGUF specification, and llama.cpp's gguf-py.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "store/gguf_head.h"
#include "store/hf_folder.h"

namespace pippin::service {

struct GgufTokenizer {
  store::GgufMetadata keys;
  std::vector<std::string> notes;  // for a person
};

/// Errors: of HfFolder::tokenizer() and text::gguf_vocabulary_of().
Result<GgufTokenizer> gguf_tokenizer(const store::HfFolder& folder);

}  // namespace pippin::service
