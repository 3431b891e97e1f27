"""What a person does, one file each. A workflow joins the rooms; `Zoo` and the command line call it."""
