// Safetensors files: what a right one gives, what is wrong with others, and files damaged at
// random.
#include "store/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace pippin::store {
namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(const std::string& header, size_t data_bytes, uint64_t length) {
  Bytes bytes(8 + header.size() + data_bytes);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) bytes[8 + header.size() + i] = std::byte(i);
  return bytes;
}
Bytes file_of(const std::string& header, size_t data_bytes) {
  return file_of(header, data_bytes, header.size());
}

constexpr const char* kHeader =
    R"({"__metadata__":{"format":"pt"},)"
    R"("b.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[16,28]},)"
    R"("a.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
    R"("one":{"dtype":"U8","shape":[],"data_offsets":[28,29]},)"
    R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[29,29]}}   )";
constexpr size_t kDataBytes = 29;

TEST(Safetensors, AFileGivesItsTensorsInOrder) {
  const Bytes bytes = file_of(kHeader, kDataBytes);
  const auto file = SafetensorsFile::parse(bytes, "m.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->file_bytes(), bytes.size());
  ASSERT_EQ(file->entries().size(), 4u);
  const SafetensorsEntry& second = file->entries()[1];
  EXPECT_EQ(file->entries()[0].name, "a.weight");
  EXPECT_EQ(second.name, "b.weight");
  EXPECT_EQ(second.dtype, "BF16");
  EXPECT_EQ(second.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(second.bytes.data(), bytes.data() + bytes.size() - 13);
  EXPECT_EQ(second.bytes.size(), 12u);
  EXPECT_TRUE(file->entries()[2].shape.empty());
  EXPECT_EQ(file->entries()[3].bytes.size(), 0u);
}

struct Wrong {
  std::string entries;  // behind {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}
  size_t data_bytes;
  std::string says;
  Code code = Code::kInvalidFile;
};

TEST(Safetensors, WhatIsWrongIsNamed) {
  const auto tensor = [](const std::string& fields) { return ",\"b\":{" + fields + "}"; };
  const std::vector<Wrong> cases = {
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), 8, "overlaps"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[12,16])"), 16, "unused bytes before"},
      {"", 12, "unused bytes behind"},
      {"", 4, "complete"},
      {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,12])"), 12, "do not make 4 bytes"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[12,8])"), 12, "12 to 8"},
      {tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[8,12])"), 12, "shape"},
      {tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[8,12])"), 12, "shape"},
      {tensor(R"("dtype":"F32","data_offsets":[8,12])"), 12, "array shape"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[8])"), 12, "two data_offsets"},
      {tensor(R"("shape":[1],"data_offsets":[8,12])"), 12, "expected a dtype"},
      {tensor(R"("dtype":"F4","shape":[1],"data_offsets":[8,12])"), 12, "'F4'", Code::kUnsupported},
      // 2^62 x 4 elements wrap to nothing.
      {tensor(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[8,8])"), 8,
       "do not make"},
      {tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[8,12])"), 12,
       "8 dimensions"},
      {",\"b\":7", 8, "expected an object"},
  };
  for (const Wrong& wrong : cases) {
    const Bytes bytes =
        file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})" + wrong.entries + "}",
                wrong.data_bytes);
    const auto file = SafetensorsFile::parse(bytes, "m.safetensors");
    ASSERT_FALSE(file.ok()) << wrong.entries;
    EXPECT_EQ(file.error().code, wrong.code) << wrong.entries;
    EXPECT_NE(file.error().message.find("m.safetensors"), std::string::npos);
    EXPECT_NE(file.error().message.find(wrong.says), std::string::npos) << file.error().message;
  }
}

TEST(Safetensors, TheHeadersLengthIsChecked) {
  for (const uint64_t length :
       {uint64_t{3}, uint64_t{100'000'001}, ~uint64_t{0}, uint64_t{1} << 63})
    EXPECT_FALSE(SafetensorsFile::parse(file_of("{}", 0, length), "m").ok()) << length;
  EXPECT_FALSE(SafetensorsFile::parse({}, "m").ok());
  EXPECT_FALSE(SafetensorsFile::parse(file_of("[]", 0), "m").ok());
  EXPECT_FALSE(SafetensorsFile::parse(file_of("{} x", 0), "m").ok());
  EXPECT_TRUE(SafetensorsFile::parse(file_of("{}", 0), "m").ok());
}

TEST(Safetensors, DamagedFilesStayInsideTheirBytes) {
  const Bytes original = file_of(kHeader, kDataBytes);
  const size_t header_end = original.size() - kDataBytes;
  std::mt19937_64 random(1);
  int files = 0, errors = 0;
  constexpr const char* kWords[] = {"0", "-1", "[", "}", "99999999999999999999", "\"F64\"", ","};
  for (int i = 0; i < 4000; ++i) {
    Bytes bytes = original;
    const size_t at = random() % header_end;
    if (i % 3 == 0) {
      bytes[at] ^= std::byte{1} << (random() % 8);
    } else if (i % 3 == 1) {
      const std::string word = kWords[random() % std::size(kWords)];
      for (size_t k = 0; k < word.size() && at + k < header_end; ++k)
        bytes[at + k] = std::byte(word[k]);
    } else {
      bytes.resize(random() % bytes.size());
    }
    const auto file = SafetensorsFile::parse(bytes, "hostile.safetensors");
    (file.ok() ? files : errors) += 1;
    if (!file.ok()) {
      EXPECT_LT(file.error().message.size(), 1000u);
      continue;
    }
    size_t sum = 0;
    for (const SafetensorsEntry& entry : file->entries()) {
      ASSERT_GE(entry.bytes.data(), bytes.data());
      ASSERT_LE(entry.bytes.data() + entry.bytes.size(), bytes.data() + bytes.size());
      sum += entry.bytes.size();
    }
    EXPECT_LE(sum, kDataBytes);
  }
  EXPECT_GT(errors, 1000);
  EXPECT_GT(files, 100);  // damaged names
}

}  // namespace
}  // namespace pippin::store
