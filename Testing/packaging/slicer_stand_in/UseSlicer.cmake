set(EXTENSION_NAME ${PROJECT_NAME})

include(CTest)

# Copies scripts and resources, whose relative paths stay as they are, into the build tree at build time. What is in that
# folder is installed. Every listed file must exist.
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 module "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES")
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): ${module_UNPARSED_ARGUMENTS}")
  endif()
  foreach(argument NAME SCRIPTS)
    if(NOT module_${argument})
      message(FATAL_ERROR "${argument} is mandatory")
    endif()
  endforeach()
  foreach(script IN LISTS module_SCRIPTS)
    if(NOT script MATCHES "\\.py$")
      message(FATAL_ERROR "'${script}' among the SCRIPTS is no Python file")
    endif()
  endforeach()

  set(built ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
  set(copies)
  foreach(file IN LISTS module_SCRIPTS module_RESOURCES)
    if(IS_ABSOLUTE ${file} OR file MATCHES "\\.\\./")
      message(FATAL_ERROR "'${file}' is not a path below ${CMAKE_CURRENT_SOURCE_DIR}")
    endif()
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    if(NOT EXISTS ${source} OR IS_DIRECTORY ${source})
      message(FATAL_ERROR "slicerMacroBuildScriptedModule given nonexistent file '${file}'")
    endif()
    add_custom_command(
      OUTPUT ${built}/${file}
      COMMAND ${CMAKE_COMMAND} -E copy ${source} ${built}/${file}
      DEPENDS ${source}
      VERBATIM
    )
    list(APPEND copies ${built}/${file})
  endforeach()
  add_custom_target(Copy${module_NAME}PythonFiles ALL DEPENDS ${copies})
  install(
    DIRECTORY ${built}/
    DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    COMPONENT RuntimeLibraries
  )
endfunction()

# As in Slicer, only a build with tests has it.
if(BUILD_TESTING)
  function(slicer_add_python_unittest)
    cmake_parse_arguments(PARSE_ARGV 0 test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS")
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${test_SCRIPT})
      message(FATAL_ERROR "slicer_add_python_unittest given nonexistent file '${test_SCRIPT}'")
    endif()
    get_filename_component(name ${test_SCRIPT} NAME_WE)
    add_test(NAME py_${test_TESTNAME_PREFIX}${name} COMMAND Slicer --testing ${test_SLICER_ARGS} ${name})
  endfunction()
endif()
