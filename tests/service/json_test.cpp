#include "service/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace pippin::service {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(Json, StringsAreEscaped) {
  EXPECT_EQ(escaped("a\"b\\c\n\t\r\x01\x7f/"), R"("a\"b\\c\n\t\r\u0001\u007f/")");
  EXPECT_EQ(escaped("héé 日本 🙂"), "\"héé 日本 🙂\"");
}

TEST(Json, BadBytesBecomeReplacementCharacters) {
  EXPECT_EQ(escaped("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(escaped("\xC3"), "\"\xEF\xBF\xBD\"");                          // cut off
  EXPECT_EQ(escaped("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");          // overlong
  EXPECT_EQ(escaped("\xED\xA0\x80x").back(), '"');                         // a surrogate
  EXPECT_EQ(escaped("\xF4\x90\x80\x80").find('\xF4'), std::string::npos);  // beyond U+10FFFF
}

TEST(Json, AnyBytesComeOutAsJson) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (char& c : bytes)
      c = static_cast<char>(random() % 4 == 0 ? 0x80 + random() % 0x80 : random() % 0x100);
    const Result<boost::json::value> parsed = parse_json(escaped(bytes));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  }
}

TEST(Json, NumbersRoundTrip) {
  const auto text = [](double value) {
    std::string out;
    JsonWriter(out).number(value);
    return out;
  };
  std::string single;
  JsonWriter(single).number(-0.1f);
  EXPECT_EQ(single, "-0.1");
  EXPECT_EQ(text(1), "1.0");
  EXPECT_EQ(text(-0.25), "-0.25");
  EXPECT_EQ(text(std::numeric_limits<double>::infinity()), "9999.0");
  EXPECT_EQ(text(-std::numeric_limits<double>::infinity()), "-9999.0");
  EXPECT_EQ(text(std::nan("")), "null");
  for (const double value : {1e300, 1e-300, 0.1, 123456789.125, -3e22}) {
    EXPECT_EQ(parse_json(text(value))->to_number<double>(), value);
  }
}

TEST(Json, NestingAndCommas) {
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .field("a", 1)
      .key("b")
      .begin_array()
      .integer(int64_t{2})
      .begin_object()
      .end_object()
      .null();
  json.end_array().key("c").raw("[]").field("d", "x").end_object();
  EXPECT_EQ(out, R"({"a":1,"b":[2,{},null],"c":[],"d":"x"})");
}

TEST(Json, ValuesAreWrittenAsTheyWere) {
  const std::string text =
      R"({"z":[1,-2,18446744073709551615,1.5,true,null,"\u00e9\n"],"a":{"b":{}}})";
  std::string out;
  JsonWriter(out).value(*parse_json(text));
  EXPECT_EQ(out, R"({"z":[1,-2,18446744073709551615,1.5,true,null,"é\n"],"a":{"b":{}}})");
}

TEST(Json, ParsingIsStrictAndBounded) {
  for (const char* bad : {"", "{", "[1,]", "{a:1}", "NaN", "[Infinity]", "// x\n1", "1 2",
                          "\"\xFF\"", "\"\\ud800\"", "{\"a\":01}"}) {
    const auto parsed = parse_json(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
  }
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(70, '[') + std::string(70, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).ok());
  const auto large = parse_json("[1,2,3]", {.bytes_max = 4});
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().code, Code::kTooLarge);

  std::string zeros = "[0";
  for (int i = 0; i < 5'000'000; ++i) zeros += ",0";
  const auto many = parse_json(zeros + "]");
  ASSERT_FALSE(many.ok());
  EXPECT_EQ(many.error().code, Code::kTooLarge);
  const std::string image = '"' + std::string(20'000'000, 'A') + '"';
  EXPECT_TRUE(parse_json(image).ok());
}

}  // namespace
}  // namespace pippin::service
