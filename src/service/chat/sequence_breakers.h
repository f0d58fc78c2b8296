// sequence_breakers: texts at which DRY's matches end, as token sequences. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace pippin::service {

/// Returns every token that holds one of the texts, and for a text that a token only begins, that
/// token with those of the rest. Cost: one pass over the vocabulary, tens of milliseconds for a
/// large one. Source: llama.cpp's get_overlapping_token_sequences, for compatible results.
/// Requires: no empty text.
std::vector<std::vector<text::Token>> sequence_breakers(const text::Tokenizer& tokenizer,
                                                        const std::vector<std::string>& texts);

}  // namespace pippin::service
