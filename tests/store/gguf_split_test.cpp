// Models whose GGUF file is split over several.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "store/gguf.h"
#include "store/gguf_builder.h"

namespace pippin::store {
namespace {

namespace fs = std::filesystem;

struct Says {
  int no, count = 3, tensors = 2;
};

// Part 0 has the metadata and no tensor, parts 1 and 2 a tensor each.
class Split : public testing::Test {
 protected:
  Split() : folder_(fs::temp_directory_path() / ("pippin_split_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    for (int no = 0; no < 3; ++no) write(no, {no});
  }
  ~Split() override { fs::remove_all(folder_); }

  std::string path(int no) const {
    return folder_ / ("m-0000" + std::to_string(no + 1) + "-of-00003.gguf");
  }
  void write(int no, const Says& says, const std::string& tensor = {}) const {
    GgufBuilder file;
    if (no == 0) file.add("general.architecture", "llama");
    file.add("split.no", static_cast<uint16_t>(says.no))
        .add("split.count", static_cast<uint16_t>(says.count))
        .add("split.tensors.count", static_cast<int32_t>(says.tensors));
    if (no > 0)
      file.tensor(tensor.empty() ? "t" + std::to_string(no) : tensor, {1},
                  std::vector<float>{static_cast<float>(no)});
    ASSERT_TRUE(file.write(path(no)));
  }
  void expect_invalid(int opened, const std::string& names, const std::string& says) const {
    const auto file = GgufFile::open(path(opened));
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.error().code, Code::kInvalidFile);
    EXPECT_NE(file.error().message.find(names), std::string::npos) << file.error().message;
    EXPECT_NE(file.error().message.find(says), std::string::npos) << file.error().message;
  }

  const fs::path folder_;
};

TEST_F(Split, AnyPartMeansAll) {
  for (int no = 0; no < 3; ++no) {
    const auto file = GgufFile::open(path(no));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->path(), path(0));
    EXPECT_EQ(file->file_bytes(),
              fs::file_size(path(0)) + fs::file_size(path(1)) + fs::file_size(path(2)));
    EXPECT_EQ(*file->string("general.architecture"), "llama");
    ASSERT_EQ(file->tensors().size(), 2u);
    for (int tensor : {1, 2}) {
      const TensorView* found = file->tensor("t" + std::to_string(tensor));
      ASSERT_NE(found, nullptr);
      std::vector<float> value(1);
      dequantize(*found, value);
      EXPECT_EQ(value[0], static_cast<float>(tensor));
    }
  }
}

TEST_F(Split, AMissingPartIsNamed) {
  fs::remove(path(1));
  expect_invalid(0, path(1), "part 2 of 3 is missing");
  expect_invalid(2, path(1), "part 2 of 3 is missing");
  fs::remove(path(0));
  EXPECT_EQ(GgufFile::open(path(2)).error().code, Code::kInvalidFile);
  EXPECT_NE(GgufFile::open(path(2)).error().message.find(path(0)), std::string::npos);
}

TEST_F(Split, PartsThatDoNotBelongTogetherAreRefused) {
  write(1, {2});
  expect_invalid(0, path(1), "'split.no' says 3 of 3");
  write(1, {1, 2});
  expect_invalid(0, path(1), "says 2 of 2");
  write(1, {1}, "t2");
  expect_invalid(0, path(0), "'t2' occurs twice");
  write(1, {1});
  write(0, {0, 3, 4});
  expect_invalid(0, path(0), "'split.tensors.count': it says 4, but all parts have 2");
  write(0, {3});
  expect_invalid(0, path(0), "'split.no': expected 0 to 2, but found 3");
  write(0, {1});
  expect_invalid(1, path(0), "it is not part 1 of 3");
}

TEST_F(Split, ANameMustTellThePart) {
  const std::string other = folder_ / "model.gguf";
  fs::rename(path(0), other);
  const auto file = GgufFile::open(other);
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().message.find("-00001-of-00003.gguf"), std::string::npos);
}

}  // namespace
}  // namespace pippin::store
