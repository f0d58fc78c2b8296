// Mutated files: whatever the bytes, reading ends in a Result, inside the file's bounds, and with
// memory in proportion to the file. The sanitizer builds give these tests their teeth.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <random>

#include "store/gguf.h"
#include "store/gguf_builder.h"
#include "store/model_config.h"

namespace {

std::atomic<size_t> live_bytes{0}, peak_bytes{0};

void* counted_allocation(size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (!memory) throw std::bad_alloc();
  const size_t live = live_bytes += ::malloc_usable_size(memory);
  if (live > peak_bytes) peak_bytes = live;
  return memory;
}

void counted_free(void* memory) noexcept {
  if (!memory) return;
  live_bytes -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

// The whole test program counts what it allocates.
void* operator new(size_t size) { return counted_allocation(size); }
void* operator new[](size_t size) { return counted_allocation(size); }
void operator delete(void* memory) noexcept { counted_free(memory); }
void operator delete[](void* memory) noexcept { counted_free(memory); }
void operator delete(void* memory, size_t) noexcept { counted_free(memory); }
void operator delete[](void* memory, size_t) noexcept { counted_free(memory); }

namespace pippin::store {
namespace {

constexpr int kMutations = 1000;

using Bytes = std::vector<std::byte>;

std::vector<float> floats(size_t count) { return std::vector<float>(count, 1.5f); }

Bytes small_file() {
  GgufBuilder builder;
  builder.add("general.architecture", "llama")
      .add("general.alignment", uint32_t{32})
      .add("general.name", "small");
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, uint32_t>>{{"block_count", 2},
                                                               {"embedding_length", 32},
                                                               {"context_length", 64},
                                                               {"feed_forward_length", 64},
                                                               {"attention.head_count", 4},
                                                               {"attention.head_count_kv", 2},
                                                               {"rope.dimension_count", 8}}) {
    builder.add(std::string("llama.") + key, value);
  }
  builder.add("llama.rope.freq_base", 10000.0f)
      .add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.add("flag", true);
  builder.add("wide", uint64_t{1} << 50).add("narrow", int8_t{-1}).add("f64", 2.5);
  builder.add_strings("tokenizer.ggml.tokens", {"a", "b", "<s>", "", "longer token"});
  builder.add_array<float>("tokenizer.ggml.scores", {0, -1, -2, -3, -4});
  builder.add_array<int32_t>("tokenizer.ggml.token_type", {1, 1, 3, 1, 1});
  builder.add_array<bool>("pattern", {true, false, true})
      .add_array<uint64_t>("u64s", {1, 2})
      .add_array<int8_t>("i8s", {1, 2});
  builder.tensor("token_embd.weight", {5, 32}, floats(160))
      .zeros("blk.0.q", TensorType::kQ4_0, {4, 64});
  builder.zeros("blk.0.k", TensorType::kQ4_K, {1, 256})
      .zeros("blk.0.x", TensorType::kF16, {2, 2, 2, 3})
      .tensor("n", {3}, floats(3));
  return builder.bytes();
}

// Damages a file's header in place: bits, absurd numbers at field-like places, and pieces copied
// over others.
void damage(std::span<std::byte> header, std::mt19937_64& random) {
  constexpr uint64_t kAbsurd[] = {
      0, 1, 7, 9, 13, 255, 65536, 1u << 31, 0xffffffff, 1ull << 32, 1ull << 56, 1ull << 63, ~0ull};
  const auto place = [&](size_t size) {
    return static_cast<size_t>(random() % (header.size() - size + 1));
  };
  const auto write = [&](size_t at, uint64_t value, size_t size) {
    std::memcpy(header.data() + at, &value, size);
  };
  const uint64_t absurd = kAbsurd[random() % std::size(kAbsurd)];
  switch (random() % 6) {
    case 0:
      for (uint64_t flips = 1 + random() % 8; flips > 0; --flips)
        header[place(1)] ^= std::byte{1} << (random() % 8);
      break;
    case 1:
      write(place(8), absurd, 8);
      break;
    case 2:
      write(place(4), absurd, 4);
      break;
    case 3:
      write(8 + random() % 2 * 8, absurd, 8);
      break;  // the counts
    case 4:
      write(random() % 2 * 4, random() % 2 ? absurd : random(), 4);
      break;  // magic, version
    case 5: {
      const size_t size = 1 + random() % std::min<size_t>(64, header.size());
      std::memmove(header.data() + place(size), header.data() + place(size), size);
      break;
    }
  }
}

struct Outcomes {
  int files = 0, errors = 0, configs = 0;
};

void expect_plain(const Error& error) {
  ASSERT_TRUE(error.message.starts_with("[gguf] hostile.gguf: ")) << error.message;
  ASSERT_LT(error.message.size(), 1000u);
  for (const char c : error.message) ASSERT_TRUE(c >= 0x20 && c < 0x7f) << error.message;
}

// Reads a file and walks all that it promises.
void read_and_walk(std::span<const std::byte> bytes, Outcomes& outcomes) {
  const size_t before = live_bytes;
  peak_bytes = before;
  {
    const auto file = GgufFile::parse(bytes, "hostile.gguf");
    if (file.ok()) {
      ++outcomes.files;
      size_t sum = 0;
      for (const TensorView& tensor : file->tensors()) {
        ASSERT_GE(tensor.bytes.data(), bytes.data());
        ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
        ASSERT_EQ(tensor.bytes.size(),
                  static_cast<size_t>(tensor.elements() / block_elements(tensor.type) *
                                      block_bytes(tensor.type)));
        sum += static_cast<size_t>(tensor.bytes.front()) + static_cast<size_t>(tensor.bytes.back());
        ASSERT_EQ(file->tensor(tensor.name), &tensor);
      }
      for (const auto& [key, value] : file->metadata()) {
        ASSERT_EQ(file->find(key), &value);
        if (const auto words = file->strings(key); words.ok()) {
          for (const std::string_view word : **words)
            sum += word.empty() ? 0 : static_cast<size_t>(word.back());
        }
      }
      const auto config = read_model_config(*file);
      outcomes.configs += config.ok() ? 1 : 0;
      if (!config.ok()) {
        ASSERT_NO_FATAL_FAILURE(expect_plain(config.error()));
      }
      volatile size_t read = sum;
      (void)read;
    } else {
      ++outcomes.errors;
      ASSERT_NO_FATAL_FAILURE(expect_plain(file.error()));
    }
  }
  ASSERT_EQ(live_bytes, before);
  // 16 KiB: messages, and the rounding up of small allocations.
  ASSERT_LE(peak_bytes - before, 10 * bytes.size() + 16384);
}

TEST(GgufHostile, MutationsOfASmallFile) {
  const Bytes original = small_file();
  ASSERT_TRUE(GgufFile::parse(original, "x").ok());
  std::mt19937_64 random(1);
  Outcomes outcomes;
  for (int i = 0; i < kMutations; ++i) {
    SCOPED_TRACE(i);
    Bytes bytes = original;
    damage(bytes, random);
    if (i % 4 == 3)
      bytes = Bytes(bytes.begin(),
                    bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size()));
    ASSERT_NO_FATAL_FAILURE(read_and_walk(bytes, outcomes));
  }
  // Damage that hits data, names or numbers leaves a file; most of the rest must be noticed.
  EXPECT_GT(outcomes.errors, kMutations / 3) << outcomes.files;
  EXPECT_GT(outcomes.files, kMutations / 20) << outcomes.errors;
  EXPECT_GT(outcomes.configs, kMutations / 50);
  EXPECT_LT(outcomes.configs, outcomes.files);
}

// The least entries for their bytes: what the reader allocates most for.
TEST(GgufHostile, ManySmallEntriesStayInProportion) {
  Outcomes outcomes;
  GgufBuilder keys, numbers, words, tensors;
  for (int i = 0; i < 50000; ++i) {
    const std::string name{static_cast<char>(i & 0xff), static_cast<char>(i >> 8)};
    keys.add(name, uint8_t{1});
    tensors.zeros(name, TensorType::kF32, {1});
  }
  numbers.add_array("bytes", std::vector<int8_t>(1000000, 1));
  words.add_strings("words", std::vector<std::string>(100000));
  for (const GgufBuilder* builder : {&keys, &numbers, &words, &tensors}) {
    ASSERT_NO_FATAL_FAILURE(read_and_walk(builder->bytes(), outcomes));
  }
  EXPECT_EQ(outcomes.files, 4);
}

// With PIPPIN_TEST_MODELS naming a folder that has it: the header of a real model, in a heap copy
// of the file.
TEST(GgufHostile, MutationsOfARealHeader) {
  const char* folder = std::getenv("PIPPIN_TEST_MODELS");
  std::ifstream in(std::string(folder ? folder : "") + "/SmolLM2-135M-Instruct.Q4_1.gguf",
                   std::ios::binary | std::ios::ate);
  if (!in)
    GTEST_SKIP() << "PIPPIN_TEST_MODELS names no folder with SmolLM2-135M-Instruct.Q4_1.gguf";
  Bytes file(static_cast<size_t>(in.tellg()));
  in.seekg(0);
  ASSERT_TRUE(
      in.read(reinterpret_cast<char*>(file.data()), static_cast<std::streamsize>(file.size())));
  size_t header_bytes = 0;
  {
    const auto whole = GgufFile::parse(file, "x");
    ASSERT_TRUE(whole.ok()) << whole.error().message;
    ASSERT_EQ(whole->tensors().size(), 272u);
    EXPECT_EQ(*whole->integer("llama.block_count"), 30);
    header_bytes = static_cast<size_t>(whole->tensors().front().bytes.data() - file.data());
  }
  const Bytes original(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(header_bytes));
  std::mt19937_64 random(2);
  Outcomes outcomes;
  for (int i = 0; i < kMutations; ++i) {
    SCOPED_TRACE(i);
    if (i % 4 == 3) {  // a truncation, in an allocation of just its size
      const Bytes cut(original.begin(),
                      original.begin() + static_cast<std::ptrdiff_t>(random() % header_bytes));
      ASSERT_NO_FATAL_FAILURE(read_and_walk(cut, outcomes));
      continue;
    }
    // The strings fill most of a header; the first and last few kilobytes hold the counts, keys and
    // tensors.
    std::span<std::byte> part = std::span(file).first(header_bytes);
    if (i % 4 == 1) part = part.first(4096);
    if (i % 4 == 2) part = part.last(20000);
    damage(part, random);
    ASSERT_NO_FATAL_FAILURE(read_and_walk(file, outcomes));
    std::copy(original.begin(), original.end(), file.begin());
  }
  EXPECT_GT(outcomes.errors, kMutations / 3) << outcomes.files;
}

}  // namespace
}  // namespace pippin::store
