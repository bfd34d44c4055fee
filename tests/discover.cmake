# Asks a doctest executable for its test cases and writes an add_test() for each to OUTPUT.
# As doctest_discover_tests, but also for names with commas or brackets and for the CR LF of a Windows executable.

execute_process(COMMAND ${EMULATOR} "${EXECUTABLE}" --list-test-cases OUTPUT_VARIABLE lines RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${EXECUTABLE} --list-test-cases failed (${result}):\n${lines}")
endif()
if(NOT lines MATCHES "passing the current filters: ([0-9]+)")
  message(FATAL_ERROR "${EXECUTABLE} --list-test-cases did not end with a count:\n${lines}")
endif()
set(expected ${CMAKE_MATCH_1})

# What means something in a CMake list or string becomes a quote, which the filter below turns into a wildcard.
string(REPLACE "[doctest]" "#" lines "${lines}")
string(REGEX REPLACE "[][;\"$\\\\]" "'" lines "${lines}")
string(REPLACE "\r" "" lines "${lines}")
string(REPLACE "\n" ";" lines "${lines}")

set(command "")
foreach(word IN LISTS EMULATOR EXECUTABLE)
  string(APPEND command " [==[${word}]==]")
endforeach()

set(script "")
set(names "")
foreach(name IN LISTS lines)
  if(name STREQUAL "" OR name MATCHES "^(#|===)")
    continue()
  endif()
  list(APPEND names "unit: ${name}")
  string(REGEX REPLACE "[^A-Za-z0-9 _.:+=/-]+" "*" filter "${name}")
  string(APPEND script "add_test([==[unit: ${name}]==]${command} \"--test-case=${filter}\")\n"
                       "set_tests_properties([==[unit: ${name}]==] PROPERTIES LABELS unit TIMEOUT 300\n"
                       "  FAIL_REGULAR_EXPRESSION \"test cases: +0 \")\n")
endforeach()

list(LENGTH names count)
list(REMOVE_DUPLICATES names)
list(LENGTH names unique)
if(NOT count EQUAL unique)
  message(FATAL_ERROR "${EXECUTABLE} has two test cases of the same name")
endif()
if(count EQUAL 0 OR NOT count EQUAL expected)
  message(FATAL_ERROR "${EXECUTABLE} lists ${expected} test cases, ${count} were found in:\n${lines}")
endif()
file(WRITE "${OUTPUT}" "${script}")
