// The files of made models: what they may take, and how they are listed.
#include "api/ollama/derived_models.h"
#include "service/models/model_pool.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace pippin::api::ollama {
namespace {

namespace fs = std::filesystem;

class DerivedModelsTest : public ::testing::Test {
 protected:
  DerivedModelsTest() {
    folder_ = (fs::temp_directory_path() / "pippin-derived-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~DerivedModelsTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  DerivedModels models(uint64_t bytes_max = kDerivedBytesMax) const {
    return DerivedModels(folder_, index_, bytes_max);
  }
  static DerivedModel model(const std::string& name, size_t bytes = 10) {
    DerivedModel made;
    made.name = name;
    made.from = "base";
    made.system = std::string(bytes, 'x');
    made.modified_unix_s = 7;
    return made;
  }

  std::string folder_;
  std::shared_ptr<DerivedIndex> index_ = std::make_shared<DerivedIndex>();
};

TEST_F(DerivedModelsTest, AListFollowsTheFiles) {
  EXPECT_TRUE(models().list().empty());
  ASSERT_TRUE(models().keep(model("b:1")).ok());
  ASSERT_TRUE(models().keep(model("a:1")).ok());
  std::ofstream(folder_ + "/broken.json") << "{";
  for (int again = 0; again < 2; ++again) {
    const std::vector<DerivedHead> heads = models().list();
    ASSERT_EQ(heads.size(), 2u);
    EXPECT_EQ(heads[0].name, "a:1");
    EXPECT_EQ(heads[1].name, "b:1");
    EXPECT_EQ(heads[1].from, "base");
    EXPECT_EQ(heads[1].modified_unix_s, 7);
  }
  // Of the same length, and within the tick of the clock.
  DerivedModel other = model("b:1");
  other.from = "bass";
  ASSERT_TRUE(models().keep(other).ok());
  EXPECT_EQ(models().list()[1].from, "bass");
  ASSERT_TRUE(*models().remove("a:1"));
  ASSERT_EQ(models().list().size(), 1u);
  EXPECT_EQ(models().find("b:1")->system, "xxxxxxxxxx");
}

TEST_F(DerivedModelsTest, AFolderTakesSoManyBytes) {
  const DerivedModels few = models(10'000);
  ASSERT_TRUE(few.keep(model("a:1", 4000)).ok());
  ASSERT_TRUE(few.keep(model("b:1", 4000)).ok());
  const Result<void> third = few.keep(model("c:1", 4000));
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, Code::kTooLarge);
  EXPECT_NE(third.error().message.find("10 kB at most"), std::string::npos)
      << third.error().message;
  EXPECT_TRUE(few.keep(model("b:1", 5000)).ok()) << "what it replaces makes room";
  EXPECT_FALSE(few.keep(model("b:1", 7000)).ok());
  EXPECT_EQ(few.find("b:1")->system.size(), 5000u);
  ASSERT_TRUE(*few.remove("a:1"));
  EXPECT_TRUE(few.keep(model("c:1", 4000)).ok());
  EXPECT_TRUE(models().keep(model("d:1", 4000)).ok()) << "the folder of another bound";
}

}  // namespace
}  // namespace pippin::api::ollama
