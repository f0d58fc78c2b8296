#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace pippin::text {
namespace {

/// A vocabulary of the 256 byte tokens after <unk> and <s>, and a few words.
std::shared_ptr<const Tokenizer> byte_tokenizer(bool add_space_prefix) {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>"};
  vocabulary.token_types = {2, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
    vocabulary.tokens.push_back(text);
    vocabulary.token_types.push_back(6);
  }
  vocabulary.tokens.push_back("\u2581hi");
  vocabulary.token_types.push_back(1);
  vocabulary.scores.assign(vocabulary.tokens.size(), 0.0f);
  vocabulary.bos = 1;
  vocabulary.add_space_prefix = add_space_prefix;
  auto loaded = Tokenizer::from_gguf(vocabulary);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  return *loaded;
}

constexpr Token kHi = 258;
Token byte_token(unsigned char byte) { return byte + 2; }

/// Pushes bytes one by one and returns the pieces that came out, joined by "|".
std::string decode(std::string_view bytes) {
  StreamDecoder decoder(byte_tokenizer(false), true);
  std::string pieces;
  for (char byte : bytes) {
    const std::string piece = decoder.push(byte_token(static_cast<unsigned char>(byte)));
    pieces += piece.empty() ? "." : piece;
  }
  return pieces + "|" + decoder.flush();
}

TEST(StreamDecoder, HoldsBackUntilACharacterIsWhole) {
  EXPECT_EQ(decode("a"), "a|");
  EXPECT_EQ(decode("é"), ".é|");
  EXPECT_EQ(decode("…"), "..…|");
  EXPECT_EQ(decode("😀!"), "...😀!|");
}

TEST(StreamDecoder, WritesInvalidBytesAsReplacementCharacters) {
  EXPECT_EQ(decode("\xFF"), "\uFFFD|");
  EXPECT_EQ(decode("\x80z"), "\uFFFDz|");
  EXPECT_EQ(decode("\xC3z"), ".\uFFFDz|");
  EXPECT_EQ(decode("\xC0\xAF"), "\uFFFD\uFFFD|");                       // overlong
  EXPECT_EQ(decode("\xED\xA0\x80"), ".\uFFFD\uFFFD\uFFFD|");            // a surrogate
  EXPECT_EQ(decode("\xF4\x90\x80\x80"), ".\uFFFD\uFFFD\uFFFD\uFFFD|");  // past U+10FFFF
  EXPECT_EQ(decode("\xF0\x9F\x98"), "...|\uFFFD");                      // cut off at the end
}

TEST(StreamDecoder, StripsTheFirstSpaceOfSentencePiece) {
  StreamDecoder stripping(byte_tokenizer(true), false);
  EXPECT_EQ(stripping.push(1), "");  // a control token, not shown
  EXPECT_EQ(stripping.push(kHi), "hi");
  EXPECT_EQ(stripping.push(kHi), " hi");
  StreamDecoder plain(byte_tokenizer(false), false);
  EXPECT_EQ(plain.push(kHi), " hi");
}

TEST(StreamDecoder, ShowsControlTokensOnRequest) {
  StreamDecoder decoder(byte_tokenizer(true), true);
  EXPECT_EQ(decoder.push(1), "<s>");
}

TEST(StreamDecoder, IgnoresIdsOutOfRange) {
  StreamDecoder decoder(byte_tokenizer(false), true);
  EXPECT_EQ(decoder.push(-1), "");
  EXPECT_EQ(decoder.push(1'000'000), "");
  EXPECT_EQ(decoder.flush(), "");
}

}  // namespace
}  // namespace pippin::text
