// pippin_encode MODEL.gguf [--no-special | --bench FILE]: reads texts that are length-prefixed (a
// line with the number of bytes, then the bytes and a newline) from standard input and prints the
// token ids of each on a line.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include "text/gguf_vocabulary.h"

namespace {

using pippin::text::Specials;
/// The CPU time of this thread, which a busy machine does not spoil as it does the time of day.
double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

int bench(const pippin::text::Tokenizer& tokenizer, const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  double best_ms = 1e30;
  size_t tokens = 0;
  for (int i = 0; i < 5; ++i) {
    const double start = cpu_ms();
    tokens = tokenizer.encode(text.view(), false, Specials::kParse)->size();
    best_ms = std::min(best_ms, cpu_ms() - start);
  }
  const double bytes = static_cast<double>(text.view().size());
  std::printf("%.0f bytes, %zu tokens, best of 5: %.2f ms of CPU time, %.1f MB/s\n", bytes, tokens,
              best_ms, bytes / best_ms / 1e3);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    return std::fprintf(stderr, "usage: pippin_encode MODEL.gguf [--no-special | --bench FILE]\n"),
           2;
  auto file = pippin::store::GgufFile::open(argv[1]);
  if (!file.ok()) return std::fprintf(stderr, "%s\n", file.error().message.c_str()), 1;
  const auto vocabulary = pippin::text::gguf_vocabulary(*file);
  const double start = cpu_ms();
  auto tokenizer = pippin::text::Tokenizer::from_gguf(vocabulary);
  if (!tokenizer.ok()) return std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str()), 1;
  std::fprintf(stderr, "%zu tokens loaded in %.0f ms\n", vocabulary.tokens.size(),
               cpu_ms() - start);
  if (argc > 3 && std::strcmp(argv[2], "--bench") == 0) return bench(**tokenizer, argv[3]);
  const Specials specials = argc > 2 ? Specials::kText : Specials::kParse;
  for (std::string header; std::getline(std::cin, header);) {
    std::string text(std::strtoul(header.c_str(), nullptr, 10), '\0');
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size())).get();
    const auto ids = (*tokenizer)->encode(text, argc <= 2, specials);
    if (!ids.ok()) return std::fprintf(stderr, "%s\n", ids.error().message.c_str()), 1;
    for (size_t i = 0; i < ids->size(); ++i) std::printf(i == 0 ? "%d" : " %d", (*ids)[i]);
    std::printf("\n");
  }
}
