#include "store/gguf.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "store/gguf_builder.h"

namespace pippin::store {
namespace {

std::vector<float> floats(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) + 0.5f;
  return values;
}

// Parses a file and expects an error whose message has all of the parts.
void expect_error(const std::vector<std::byte>& bytes, Code code,
                  const std::vector<std::string>& parts) {
  const auto file = GgufFile::parse(bytes, "some.gguf");
  ASSERT_FALSE(file.ok()) << "expected: " << parts.front();
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_TRUE(file.error().message.starts_with("[gguf] some.gguf: ")) << file.error().message;
  for (const std::string& part : parts) {
    EXPECT_NE(file.error().message.find(part), std::string::npos)
        << file.error().message << "\nlacks: " << part;
  }
}

void expect_invalid(const GgufBuilder& builder, const std::vector<std::string>& parts) {
  expect_error(builder.bytes(), Code::kInvalidFile, parts);
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pippin-store-XXXXXX").string();
    if (::mkdtemp(name.data())) path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

TEST(Gguf, ReadsEveryScalarKind) {
  const auto bytes = GgufBuilder()
                         .add("u8", uint8_t{200})
                         .add("i8", int8_t{-100})
                         .add("u16", uint16_t{60000})
                         .add("i16", int16_t{-30000})
                         .add("u32", uint32_t{4000000000})
                         .add("i32", int32_t{-2000000000})
                         .add("u64", uint64_t{1} << 40)
                         .add("huge", std::numeric_limits<uint64_t>::max())
                         .add("i64", std::numeric_limits<int64_t>::min())
                         .add("f32", 0.1f)
                         .add("f64", 0.1)
                         .add("yes", true)
                         .add("no", false)
                         .add("text", "hello")
                         .add("empty", "")
                         .bytes();
  const auto file = GgufFile::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->metadata().size(), 15u);
  EXPECT_EQ(file->metadata().front().first, "u8");
  EXPECT_EQ(*file->integer("u8"), 200);
  EXPECT_EQ(*file->integer("i8"), -100);
  EXPECT_EQ(*file->integer("u16"), 60000);
  EXPECT_EQ(*file->integer("i16"), -30000);
  EXPECT_EQ(*file->integer("u32"), 4000000000);
  EXPECT_EQ(*file->integer("i32"), -2000000000);
  EXPECT_EQ(*file->integer("u64"), int64_t{1} << 40);
  EXPECT_EQ(*file->integer("i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(std::get<uint64_t>(*file->find("huge")), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(*file->number("f32"), static_cast<double>(0.1f));
  EXPECT_EQ(*file->number("f64"), 0.1);
  EXPECT_EQ(*file->number("u8"), 200.0);
  EXPECT_TRUE(*file->boolean("yes"));
  EXPECT_FALSE(*file->boolean("no"));
  EXPECT_EQ(*file->string("text"), "hello");
  EXPECT_EQ(*file->string("empty"), "");
  EXPECT_EQ(file->find("absent"), nullptr);
}

TEST(Gguf, ReadsEveryArrayKind) {
  auto builder = GgufBuilder()
                     .add_array<uint8_t>("u8", {1, 255})
                     .add_array<int8_t>("i8", {-128, 127})
                     .add_array<uint16_t>("u16", {65535})
                     .add_array<int16_t>("i16", {-32768})
                     .add_array<uint32_t>("u32", {4294967295u})
                     .add_array<int32_t>("i32", {-1, 0, 1})
                     .add_array<uint64_t>("u64", {uint64_t{1} << 62})
                     .add_array<int64_t>("i64", {-5})
                     .add_array<float>("f32", {0.25f, -1.0f})
                     .add_array<double>("f64", {1e300})
                     .add_array<bool>("bools", {true, false, true})
                     .add_array<int32_t>("none", {})
                     .add_strings("words", {"a", "", "longer"});
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(**file->integers("u8"), (std::vector<int64_t>{1, 255}));
  EXPECT_EQ(**file->integers("i8"), (std::vector<int64_t>{-128, 127}));
  EXPECT_EQ(**file->integers("u16"), (std::vector<int64_t>{65535}));
  EXPECT_EQ(**file->integers("i16"), (std::vector<int64_t>{-32768}));
  EXPECT_EQ(**file->integers("u32"), (std::vector<int64_t>{4294967295}));
  EXPECT_EQ(**file->integers("i32"), (std::vector<int64_t>{-1, 0, 1}));
  EXPECT_EQ(**file->integers("u64"), (std::vector<int64_t>{int64_t{1} << 62}));
  EXPECT_EQ(**file->integers("i64"), (std::vector<int64_t>{-5}));
  EXPECT_EQ(**file->numbers("f32"), (std::vector<double>{0.25, -1.0}));
  EXPECT_EQ(**file->numbers("f64"), (std::vector<double>{1e300}));
  EXPECT_EQ(std::get<std::vector<bool>>(std::get<GgufArray>(*file->find("bools"))),
            (std::vector<bool>{true, false, true}));
  EXPECT_TRUE((*file->integers("none"))->empty());
  EXPECT_EQ(**file->strings("words"), (std::vector<std::string_view>{"a", "", "longer"}));
}

TEST(Gguf, TypedLookUpsNameTheKeyAndBothKinds) {
  const auto bytes =
      GgufBuilder().add("a.number", 1.5f).add("a.word", "x").add("huge", ~uint64_t{0}).bytes();
  const auto file = GgufFile::parse(bytes, "m.gguf");
  ASSERT_TRUE(file.ok());
  const auto integer = file->integer("a.number");
  ASSERT_FALSE(integer.ok());
  EXPECT_EQ(integer.error().message,
            "[gguf] m.gguf: key 'a.number': expected an integer, but it is a float");
  EXPECT_EQ(integer.error().param, "a.number");
  EXPECT_EQ(file->string("b").error().message,
            "[gguf] m.gguf: key 'b': expected a string, but it is absent");
  EXPECT_FALSE(file->integer("huge").ok());
  EXPECT_FALSE(file->strings("a.word").ok());
  EXPECT_FALSE(file->boolean("a.number").ok());
  // A default replaces an absent key, never one of another kind.
  EXPECT_EQ(*file->integer_or("b", 7), 7);
  EXPECT_EQ(*file->number_or("b", 0.5), 0.5);
  EXPECT_EQ(*file->number_or("a.number", 0), 1.5);
  EXPECT_TRUE(*file->boolean_or("b", true));
  EXPECT_FALSE(file->integer_or("a.word", 7).ok());
  EXPECT_FALSE(file->boolean_or("a.word", true).ok());
}

TEST(Gguf, PlacesTensorsOutermostDimensionFirst) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBuilder builder;
    builder.version = version;
    builder.add("k", 1)
        .tensor("w", {2, 3}, floats(6))
        .zeros("q", TensorType::kQ6_K, {2, 512})
        .tensor("b", {1}, {7});
    const auto bytes = builder.bytes();
    const auto file = GgufFile::parse(bytes, "x");
    ASSERT_TRUE(file.ok()) << file.error().message;
    ASSERT_EQ(file->tensors().size(), 3u);
    EXPECT_EQ(file->tensors()[0].name, "w");
    EXPECT_EQ(file->tensors()[0].shape, (std::vector<int64_t>{2, 3}));
    std::vector<float> values(6);
    dequantize(TensorType::kF32, file->tensors()[0].bytes, values);
    EXPECT_EQ(values, floats(6));
    const TensorView* q = file->tensor("q");
    ASSERT_NE(q, nullptr);
    EXPECT_EQ(q->type, TensorType::kQ6_K);
    EXPECT_EQ(q->shape, (std::vector<int64_t>{2, 512}));
    EXPECT_EQ(q->bytes.size(), 4u * 210);
    EXPECT_EQ(file->tensor("absent"), nullptr);
    EXPECT_EQ(file->file_bytes(), bytes.size());
  }
}

TEST(Gguf, EveryTypeNumberIsRead) {
  for (int i = 0; i <= static_cast<int>(TensorType::kQ2_0); ++i) {
    const auto type = static_cast<TensorType>(i);
    const auto bytes = GgufBuilder().zeros("w", type, {3, 256}).bytes();
    const auto file = GgufFile::parse(bytes, "x");
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->tensors()[0].type, type);
  }
}

TEST(Gguf, FollowsAnotherAlignment) {
  GgufBuilder builder;
  builder.alignment = 128;
  builder.add("general.alignment", uint32_t{128})
      .tensor("a", {3}, floats(3))
      .tensor("b", {5}, floats(5));
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ((file->tensor("b")->bytes.data() - bytes.data()) % 128, 0);
  EXPECT_EQ(file->tensor("b")->bytes.data() - file->tensor("a")->bytes.data(), 128);
}

TEST(Gguf, AHeaderAloneIsAFile) {
  const auto bytes = GgufBuilder().bytes();
  const auto file = GgufFile::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->metadata().empty());
  EXPECT_TRUE(file->tensors().empty());
}

TEST(Gguf, OpensByMapping) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.gguf";
  ASSERT_TRUE(GgufBuilder().add("k", "v").tensor("w", {4}, floats(4)).write(path));
  auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const GgufFile file = std::move(opened).value();  // views survive a move
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(*file.string("k"), "v");
  ASSERT_NE(file.tensor("w"), nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.tensor("w")->bytes.data()) % 32, 0u);
}

TEST(Gguf, OpenRefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(GgufFile::open(folder / "absent").error().code, Code::kNotFound);
  EXPECT_EQ(GgufFile::open(folder / "").error().code, Code::kInvalidFile);  // the folder itself
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(GgufFile::open(folder / "pipe").error().code, Code::kInvalidFile);
  std::ofstream(folder / "empty").flush();
  EXPECT_EQ(GgufFile::open(folder / "empty").error().code, Code::kInvalidFile);
}

TEST(GgufErrors, OtherFormatsAndVersions) {
  GgufBuilder builder;
  builder.magic = "PK\x03\x04";
  expect_invalid(builder, {"expected the magic \"GGUF\"", "'PK\\x03\\x04'"});
  builder.magic = "GGUF";
  builder.version = 1;
  expect_error(builder.bytes(), Code::kUnsupported, {"version 2 or 3", "version 1"});
  builder.version = 4;
  expect_error(builder.bytes(), Code::kUnsupported, {"version 4"});
  builder.version = 0x03000000;
  expect_error(builder.bytes(), Code::kUnsupported, {"big-endian"});
  expect_error({}, Code::kInvalidFile, {"expected 4 bytes", "ends at byte 0"});
}

TEST(GgufErrors, AbsurdCounts) {
  for (const uint64_t count : {uint64_t{1} << 20, uint64_t{1} << 60, ~uint64_t{0}}) {
    GgufBuilder tensors, keys;
    tensors.tensor_count = keys.metadata_count = count;
    expect_invalid(tensors, {"tensors", std::to_string(count)});
    expect_invalid(keys, {"metadata keys", std::to_string(count)});
    for (const uint32_t type : {0u, 6u, 7u, 8u, 12u}) {
      expect_invalid(GgufBuilder().add_raw_array("list", type, count, "12345678"),
                     {"'list'", std::to_string(count)});
    }
  }
}

TEST(GgufErrors, Strings) {
  std::string length;
  GgufBuilder::put(length, ~uint64_t{0});
  expect_invalid(GgufBuilder().add_raw("text", 8, length), {"'text'", "18446744073709551615"});
  length.clear();
  GgufBuilder::put(length, uint64_t{100});
  expect_invalid(GgufBuilder().add_raw("text", 8, length + "short"),
                 {"'text'", "100 bytes", "ends at byte"});
  expect_invalid(GgufBuilder().add("", 1).add("k", 1), {"a metadata key", "length is 0"});
  expect_invalid(GgufBuilder().raw_tensor("", 0, {1}, 0).zeros("w", TensorType::kF32, {1}),
                 {"a tensor's name", "length is 0"});
  expect_invalid(GgufBuilder().add(std::string(65536, 'k'), 1), {"a metadata key", "65536"});
}

TEST(GgufErrors, Values) {
  expect_invalid(GgufBuilder().add_raw("odd", 13, "12345678"), {"'odd'", "found 13"});
  expect_invalid(GgufBuilder().add_raw_array("odd", 99, 1, "12345678"), {"'odd'", "found 99"});
  expect_error(GgufBuilder().add_raw_array("nest", 9, 1, "123456789012").bytes(),
               Code::kUnsupported, {"'nest'", "arrays of arrays"});
  expect_invalid(GgufBuilder().add_raw("flag", 7, "\x02"), {"'flag'", "found 2"});
  expect_invalid(GgufBuilder().add_raw_array("flags", 7, 2, "\x01\x03"), {"'flags'", "found 3"});
  expect_invalid(GgufBuilder().add_array<uint64_t>("wide", {~uint64_t{0}}), {"'wide'", "2^63"});
  expect_invalid(GgufBuilder().add("k", 1).add("j", 2).add("k", 3), {"key 'k' occurs twice"});
  expect_invalid(GgufBuilder().add("a\nb\x1b[31m", 1).add("a\nb\x1b[31m", 1),
                 {R"('a\x0ab\x1b[31m')"});
}

TEST(GgufErrors, Alignment) {
  for (const uint32_t alignment : {0u, 1u, 4u, 33u, 1u << 17, ~0u}) {
    expect_invalid(GgufBuilder().add("general.alignment", alignment).tensor("w", {1}, {1}),
                   {"'general.alignment'", std::to_string(alignment)});
  }
  expect_invalid(GgufBuilder().add("general.alignment", -32), {"'general.alignment'", "-32"});
  expect_invalid(GgufBuilder().add("general.alignment", "32"),
                 {"'general.alignment'", "expected an integer"});
}

TEST(GgufErrors, Shapes) {
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {}, 0).zeros("v", TensorType::kF32, {1}),
                 {"'w'", "1 to 4 dimensions", "found 0"});
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {1, 1, 1, 1, 1}, 0), {"'w'", "found 5"});
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {4, 0}, 0), {"'w'", "zero"});
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {-1}, 0), {"'w'", "18446744073709551615"});
  const int64_t big = int64_t{1} << 32;
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {big, big}, 0), {"'w'", "2^63"});
  expect_invalid(GgufBuilder().raw_tensor("w", 0, {big, big / 4}, 0), {"'w'", "is it complete?"});
  expect_invalid(GgufBuilder().raw_tensor("w", 12, {32, 8}, 0),
                 {"'w'", "Q4_K", "256", "a row has 32"});
}

TEST(GgufErrors, TypesNotReadAreNamed) {
  const auto file = [](uint32_t type) {
    return GgufBuilder().raw_tensor("blk.0.w", type, {256}, 0).bytes();
  };
  expect_error(file(15), Code::kUnsupported, {"'blk.0.w'", "Q8_K"});
  expect_error(file(24), Code::kUnsupported, {"'blk.0.w'", "I8"});
  expect_error(file(4), Code::kUnsupported, {"'blk.0.w'", "Q4_2"});
  expect_error(file(43), Code::kUnsupported, {"'blk.0.w'", "number 43"});
  expect_error(file(~0u), Code::kUnsupported, {"'blk.0.w'", "number 4294967295"});
}

TEST(GgufErrors, Paths) {
  const auto one = [](uint64_t offset) {
    return GgufBuilder().tensor("a", {8}, floats(8)).raw_tensor("b", 0, {8}, offset);
  };
  expect_invalid(one(16), {"'b'", "multiple of 32", "16"});
  expect_invalid(one(32), {"'b'", "is it complete?"});
  expect_invalid(one(uint64_t{1} << 63), {"'b'", "is it complete?"});
  expect_invalid(one(~uint64_t{31}), {"'b'", "is it complete?"});
  expect_invalid(one(0), {"'a'", "'b'", "overlap"});
  expect_invalid(GgufBuilder().tensor("a", {8}, floats(8)).tensor("a", {8}, floats(8)),
                 {"tensor 'a' occurs twice"});
}

TEST(GgufErrors, EveryTruncationIsRefused) {
  const auto bytes = GgufBuilder()
                         .add("key", "value")
                         .add_array<float>("list", {1, 2, 3})
                         .add_strings("words", {"x", "yy"})
                         .tensor("a", {2, 8}, floats(16))
                         .tensor("b", {8}, floats(8))
                         .bytes();
  ASSERT_TRUE(GgufFile::parse(bytes, "x").ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A copy of just that size, so that a sanitizer sees the first byte read behind it.
    const std::vector<std::byte> cut(bytes.begin(),
                                     bytes.begin() + static_cast<std::ptrdiff_t>(size));
    expect_error(cut, Code::kInvalidFile, {"expected"});
  }
}

TEST(Gguf, AHeadTellsWhatTheWholeFileHolds) {
  const auto bytes = GgufBuilder()
                         .add("general.architecture", "llama")
                         .add_strings("tokens", {"a", "b", "c"})
                         .tensor("t", {4, 8}, floats(32))
                         .bytes();
  const std::span<const std::byte> all(bytes);
  const size_t data = bytes.size() - 32 * sizeof(float);
  bool found = false;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto head = GgufFile::parse_head(all.first(size), bytes.size(), "some.gguf");
    ASSERT_TRUE(head.ok()) << size << ": " << head.error().message;
    EXPECT_TRUE(!found || head->has_value()) << size;
    if (!head->has_value()) continue;
    found = true;
    EXPECT_EQ((*head)->string("general.architecture").value(), "llama");
    ASSERT_NE((*head)->tensor("t"), nullptr);
    EXPECT_EQ((*head)->tensor("t")->shape, (std::vector<int64_t>{4, 8}));
    EXPECT_TRUE((*head)->tensor("t")->bytes.empty());
  }
  EXPECT_TRUE(found);
  // What cannot fit into the file is no matter of reading on.
  EXPECT_FALSE(GgufFile::parse_head(all.first(data), bytes.size() - 1, "some.gguf").ok());
  EXPECT_FALSE(GgufFile::parse_head(all.first(30), 40, "some.gguf").ok());
}

}  // namespace
}  // namespace pippin::store
