// A custom tool's text out of the JSON that models write for it, cut anywhere.
#include "api/openai/custom_input.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace pippin::api::openai {
namespace {

// Returns the text, after checking that every cut into two and the cut into bytes give the same.
std::string text_of(std::string_view json) {
  CustomInput whole;
  std::string text = whole.push(json);
  text += whole.finish();
  for (size_t cut = 0; cut <= json.size(); ++cut) {
    CustomInput input;
    std::string pieces = input.push(json.substr(0, cut));
    pieces += input.push(json.substr(cut));
    pieces += input.finish();
    EXPECT_EQ(pieces, text) << json << " cut at " << cut;
  }
  CustomInput input;
  std::string bytes;
  for (const char byte : json) bytes += input.push(std::string_view(&byte, 1));
  bytes += input.finish();
  EXPECT_EQ(bytes, text) << json << " by bytes";
  return text;
}

TEST(CustomInput, ReadsTheFormThatIsAskedFor) {
  EXPECT_EQ(text_of(R"({"input": "plain"})"), "plain");
  EXPECT_EQ(text_of(R"( {
    "input" : "a\nb\t\"c\"\\ \/ \b\f\r" } )"),
            "a\nb\t\"c\"\\ / \b\f\r");
  EXPECT_EQ(text_of(R"({"input":""})"), "");
  EXPECT_EQ(text_of("{\"input\":\"é日🙂\"}"), "é日🙂");
  EXPECT_EQ(text_of(R"({"input":"\u0041\u00e9\u65e5\ud83d\ude42"})"), "Aé日🙂");
  EXPECT_EQ(text_of(R"({"input":"x","more":{"input":"y"}})"), "x");
}

TEST(CustomInput, TextComesBeforeItsEnd) {
  CustomInput input;
  EXPECT_EQ(input.push(R"({"input":"ab)"), "ab");
  EXPECT_EQ(input.push("\\"), "");
  EXPECT_EQ(input.push("n"), "\n");
  EXPECT_EQ(input.finish(), "") << "cut off: what has come is all there is";
}

TEST(CustomInput, HalvesOfCharactersAreReplaced) {
  EXPECT_EQ(text_of(R"({"input":"\ud83d"})"), "\xEF\xBF\xBD");
  EXPECT_EQ(text_of(R"({"input":"\ud83dx"})"), "\xEF\xBF\xBDx");
  EXPECT_EQ(text_of(R"({"input":"\ude42"})"), "\xEF\xBF\xBD");
  EXPECT_EQ(text_of(R"({"input":"\ud83d\n"})"), "\xEF\xBF\xBD\n");
  EXPECT_EQ(text_of(R"({"input":"\ud83d\ud83d\ude42"})"), "\xEF\xBF\xBD🙂");
  EXPECT_EQ(text_of(R"({"input":"\u00zz"})"), "\xEF\xBF\xBDzz");
}

TEST(CustomInput, OtherFormsAreTakenAsFarAsTheyGo) {
  EXPECT_EQ(text_of(R"({"patch":"*** Begin"})"), "*** Begin");
  EXPECT_EQ(text_of(R"({"a":1,"input":"late"})"), "late");
  EXPECT_EQ(text_of(R"("a string\n")"), "a string\n");
  EXPECT_EQ(text_of("*** Begin Patch"), "*** Begin Patch");
  EXPECT_EQ(text_of(R"({"a":"x","b":"y"})"), R"({"a":"x","b":"y"})");
  EXPECT_EQ(text_of(R"({"input":7})"), R"({"input":7})");
  EXPECT_EQ(text_of(R"({"inp)"), R"({"inp)");
  EXPECT_EQ(text_of("{}"), "");
  EXPECT_EQ(text_of(""), "");
}

}  // namespace
}  // namespace pippin::api::openai
