// The kept texts and what llama.cpp makes of them (make_corpus.py, make_goldens.py), and the models
// they need.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/gguf_vocabulary.h"

namespace pippin::text {

inline std::string unescape(const std::string& line) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    const char kind = line[++i];
    text += kind == 'n' ? '\n' : kind == 'r' ? '\r' : kind == '0' ? '\0' : '\\';
  }
  return text;
}

inline std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(std::string(PIPPIN_SOURCE_DIR "/tests/text/") + file, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

inline std::vector<std::string> corpus() {
  std::vector<std::string> texts = lines_of("corpus.txt");
  for (std::string& text : texts) text = unescape(text);
  return texts;
}

/// The 64-bit FNV-1a hash of the ids' little-endian bytes.
inline uint64_t hash_of(const std::vector<Token>& ids) {
  uint64_t hash = 0xCBF29CE484222325;
  for (Token id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ (static_cast<uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3;
    }
  }
  return hash;
}

/// The vocabulary of a file in the directory that PIPPIN_TEST_MODELS names; nothing if there is
/// none.
inline std::optional<GgufVocabulary> test_vocabulary(const std::string& file) {
  const char* directory = std::getenv("PIPPIN_TEST_MODELS");
  if (directory == nullptr) return std::nullopt;
  const std::string path = std::string(directory) + "/" + file;
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto opened = store::GgufFile::open(path);
  if (!opened.ok()) return std::nullopt;
  return gguf_vocabulary(*opened);
}

}  // namespace pippin::text
